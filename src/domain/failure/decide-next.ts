import type { Failure } from './failure.js';
import { REACTIONS } from './failure-kind.js';
import type { Backoff } from './retry-policy.js';
import { backoffMs } from './retry-policy.js';

/** What becomes of a job whose attempt failed. */
export type Decision =
  /** Again, not before `delayMs` have passed. */
  | { readonly action: 'retry'; readonly delayMs: number }
  /** Back into the queue as if the attempt had not been. */
  | { readonly action: 'return' }
  | { readonly action: 'end'; readonly state: 'failed' | 'expired' | 'cancelled' };

/** What the decision rests on. */
export interface FailedAttempt {
  readonly failure: Failure;
  /** Attempts that count against the job, this one included. */
  readonly countedAttempts: number;
  readonly cancelRequested: boolean;
  /** Milliseconds until the job expires; null: never. */
  readonly msToDeadline: number | null;
}

/**
 * Decides what becomes of a job whose attempt failed. Pure: `random` is a number in [0, 1) for the jitter.
 *
 * A retry that cannot begin before the deadline is not made. `degrade` and `relocate` repeat the same plan: the engine has
 * already split its batches to the last image, and another place comes up by itself when a second worker is ready.
 */
export function decideNext(attempt: FailedAttempt, backoff: Backoff, random: number): Decision {
  const { disposition, maxAttempts } = REACTIONS[attempt.failure.kind];
  if (attempt.cancelRequested) return { action: 'end', state: 'cancelled' };
  switch (disposition) {
    case 'reject':
      return { action: 'end', state: 'failed' };
    case 'give_up':
      return { action: 'end', state: attempt.failure.kind === 'cancelled' ? 'cancelled' : 'expired' };
    case 'retry':
    case 'degrade':
    case 'relocate': {
      if (attempt.failure.kind === 'worker_stopping') return { action: 'return' };
      if (attempt.countedAttempts >= maxAttempts) return { action: 'end', state: 'failed' };
      const delayMs = backoffMs(backoff, attempt.countedAttempts - 1, random);
      if (attempt.msToDeadline !== null && delayMs >= attempt.msToDeadline) return { action: 'end', state: 'expired' };
      return { action: 'retry', delayMs };
    }
  }
}
