import type { JobJson } from '../client/wire.js';
import { isFinalState } from '../client/wire.js';
import { formatAge, formatBytes, formatDuration } from '../format-duration.js';
import { renderTable, shorten } from '../table.js';

const PROMPT_WIDTH = 48;
const LONGEST_PROMPT = 400;

/** Jobs one a line. */
export function jobTable(jobs: readonly JobJson[], now: number): string {
  const rows = jobs.map((job) => [
    job.id,
    formatAge(now - Date.parse(job.created_at)),
    stateText(job),
    job.priority,
    job.model,
    String(job.attempts.length),
    shorten(job.request.prompt, PROMPT_WIDTH),
  ]);
  return renderTable([['ID', 'AGE', 'STATE', 'PRIORITY', 'MODEL', 'ATTEMPTS', 'PROMPT'], ...rows]);
}

function stateText({ state, progress, queue_position: position }: JobJson): string {
  if (state === 'running' && progress !== null) return `running ${Math.floor(progress.fraction * 100)} %`;
  return state === 'queued' && position !== null ? `queued #${position}` : state;
}

/** All that a person asks about one job. */
export function jobDetails(job: JobJson): string {
  const { request, failure } = job;
  const rows = [
    ['job', job.id],
    ['state', stateText(job) + (job.waiting_for === null ? '' : ` (waiting for ${job.waiting_for})`)],
    ['model', job.model],
    ['prompt', shorten(request.prompt, LONGEST_PROMPT)],
    ['seed', String(request.seed)],
    ['submitted', job.created_at],
    ...(isFinalState(job.state) && job.finished_at !== null
      ? [['finished', finishedText(job.created_at, job.finished_at)]]
      : []),
    ...(failure === null ? [] : [['failure', `${failure.kind}: ${failure.message}`]]),
    ...job.attempts.map((attempt) => [`attempt ${attempt.number}`, attemptText(attempt)]),
    ...job.degradations.map(({ rung, fidelity, cause }) => ['degraded', `${rung} (${fidelity}), because of ${cause}`]),
    ...job.artifacts.map((picture) => [
      `picture ${picture.index}`,
      `${picture.width}x${picture.height} ${picture.media_type}, ${formatBytes(picture.bytes)}, seed ${picture.seed}, ${picture.url}`,
    ]),
  ];
  return renderTable(rows);
}

function finishedText(from: string, to: string): string {
  return `${to}, after ${formatDuration(Date.parse(to) - Date.parse(from))}`;
}

function attemptText({
  outcome,
  worker,
  started_at: from,
  finished_at: to,
  failure,
}: JobJson['attempts'][number]): string {
  const time = to === null ? `since ${from}` : `in ${formatDuration(Date.parse(to) - Date.parse(from))}`;
  const why = failure === null ? '' : `: ${failure.kind}: ${failure.message}`;
  return `${outcome} ${time}${worker === null ? '' : ` on ${worker}`}${why}`;
}
