import type { DebugAttemptJson, DebugJson } from '../client/wire.js';
import { formatBytes } from '../format-duration.js';
import { renderTable } from '../table.js';
import { jobDetails } from './job-tables.js';

/** The debug record for a person: the job, then each attempt with what it left. */
export function debugText(record: DebugJson): string {
  const { version, job, attempts, next_attempt: next } = record;
  const checkpoint = next.checkpoint === null ? 'the beginning' : `step ${next.checkpoint.step}`;
  const again = [
    ['safelight', version],
    ['goes on at', checkpoint],
    ...(next.alone ? [['device', 'to itself']] : []),
    ...(next.avoids.length > 0 ? [['avoids', next.avoids.join(', ')]] : []),
  ];
  return [jobDetails(job), renderTable(again), ...attempts.map(attemptText)].join('\n\n');
}

function attemptText(attempt: DebugAttemptJson): string {
  const { number, node, worker, device, outcome, failure, memory, versions } = attempt;
  const rows = [
    [`attempt ${number}`, outcome],
    ['on', [node, worker, device].filter((part) => part !== null).join(' / ') || 'no worker'],
    ...(attempt.resumed_from_step === null ? [] : [['resumed', `from step ${attempt.resumed_from_step}`]]),
    ...attempt.degradations.map(({ rung, fidelity, cause }) => ['rung', `${rung} (${fidelity}), because of ${cause}`]),
    ...(attempt.peak_memory_bytes === null ? [] : [['peak', formatBytes(attempt.peak_memory_bytes)]]),
    ...(memory === null
      ? []
      : [['memory', `${formatBytes(memory.free_bytes)} free of ${formatBytes(memory.total_bytes)} at its end`]]),
    ...(versions === null ? [] : [['runs now', versionsText(versions)]]),
    ...(failure === null ? [] : [['failure', `${failure.kind} at step ${failure.step}: ${failure.message}`]]),
    ...(failure?.requested_bytes == null ? [] : [['asked for', formatBytes(failure.requested_bytes)]]),
  ];
  return [renderTable(rows), ...(failure?.detail ? [failure.detail.trimEnd()] : [])].join('\n');
}

function versionsText(versions: Readonly<Record<string, string>>): string {
  return Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');
}
