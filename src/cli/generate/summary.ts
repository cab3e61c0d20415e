import type { JobJson } from '../client/wire.js';
import { formatDuration } from '../format-duration.js';

/** Seed and timings of a job that succeeded, for people. */
export function summaryLines(job: JobJson): string[] {
  const created = Date.parse(job.created_at);
  const started = Date.parse(job.started_at ?? job.created_at);
  const finished = Date.parse(job.finished_at ?? job.created_at);
  const seeds = job.artifacts.map(({ seed }) => String(seed));
  const rows: [string, string][] = [
    [seeds.length > 1 ? 'seeds' : 'seed', seeds.length > 0 ? seeds.join(', ') : String(job.request.seed)],
    ['queued', formatDuration(started - created)],
    ...phaseTimes(job).map(([name, ms]): [string, string] => [name, formatDuration(ms)]),
    ['total', formatDuration(finished - created)],
  ];
  if (job.attempts.length > 1) rows.push(['attempts', attemptsText(job)]);
  for (const { rung, fidelity, cause } of job.degradations)
    rows.push(['degraded', `${rung} (${fidelity}), because of ${cause}`]);
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}

/** Phases of the last attempt in their order, entered more than once or not. */
function phaseTimes(job: JobJson): [string, number][] {
  const times = new Map<string, number>();
  for (const { name, started_at: from, finished_at: to } of job.attempts.at(-1)?.phases ?? []) {
    if (to !== null) times.set(name, (times.get(name) ?? 0) + Date.parse(to) - Date.parse(from));
  }
  return [...times];
}

function attemptsText({ attempts }: JobJson): string {
  const reasons = attempts.flatMap(({ failure }) => (failure === null ? [] : [failure.kind]));
  return `${attempts.length}${reasons.length > 0 ? ` (before: ${reasons.join(', ')})` : ''}`;
}
