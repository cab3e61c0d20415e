import type { ThrownFault } from './fault.js';
import type { Rows } from './rows.js';

/** A fault and how long it was felt. */
export interface Recovery extends ThrownFault {
  /** Milliseconds until an attempt succeeded that began after it, on its node where it has one; null: none did. */
  readonly recoveredAfterMs: number | null;
}

export function recoveries(faults: readonly ThrownFault[], rows: Rows): readonly Recovery[] {
  const successes = rows.attempts.filter(({ outcome }) => outcome === 'succeeded');
  const isShared = new Set(successes.map(({ node }) => node)).size > 1;
  return faults.map((fault) => {
    const after = successes
      .filter(
        ({ startedAt, node }) => startedAt > fault.at && (!isShared || fault.node === null || node === fault.node),
      )
      .map(({ finishedAt }) => finishedAt!);
    return { ...fault, recoveredAfterMs: after.length === 0 ? null : Math.min(...after) - fault.at };
  });
}

/**
 * Denoising steps taken over steps needed, for jobs that succeeded. A step between the last one a dead process told of and
 * its death is not known and not counted.
 */
export function redoneWork(rows: Rows): number {
  const succeeded = new Set(rows.jobs.filter(({ state }) => state === 'succeeded').map(({ id }) => id));
  const attempts = rows.attempts.filter(({ jobId }) => succeeded.has(jobId));
  const needed = attempts.filter(({ outcome }) => outcome === 'succeeded').reduce((sum, { step }) => sum + step, 0);
  const taken = attempts.reduce((sum, { step, resumedFromStep }) => sum + Math.max(0, step - resumedFromStep), 0);
  return needed === 0 ? 1 : taken / needed;
}

/** Successes a second, from the first submission to the last success. */
export function goodput(rows: Rows): number {
  const succeeded = rows.jobs.filter(({ state }) => state === 'succeeded');
  if (succeeded.length === 0) return 0;
  const began = rows.jobs.reduce((first, { createdAt }) => Math.min(first, createdAt), Infinity);
  const ended = succeeded.reduce((last, { finishedAt }) => Math.max(last, finishedAt!), 0);
  return succeeded.length / Math.max(0.001, (ended - began) / 1000);
}

/** Attempts by how they ended, failures by their kind. */
export function attemptOutcomes(rows: Rows): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { outcome, failure } of rows.attempts) {
    const name = failure === null ? outcome : `${outcome}: ${failure.kind}`;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
