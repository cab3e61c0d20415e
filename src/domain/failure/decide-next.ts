import type { Fidelity, RungName } from '../degradation/degradation.js';
import type { Rung } from '../degradation/rung.js';
import type { Attempt } from '../job/job.js';
import type { Failure } from './failure.js';
import type { FailureKind } from './failure-kind.js';
import { REACTIONS } from './failure-kind.js';
import type { Backoff } from './retry-policy.js';
import { backoffMs } from './retry-policy.js';

/** Deaths of a worker with the job in it after which the job runs alone: the first may have been another's doing. */
const KILLS_BEFORE_SOLO = 2;

/**
 * Attempts that may end before they had begun anything: the server stopped, a claim ran out, a worker never came up. That is
 * seldom the job's doing; a job that was there this often is taken to be the cause.
 */
const UNBEGUN_ATTEMPTS = 20;

/** What becomes of a job whose attempt failed. */
export type Decision =
  /** Again, not before `delayMs` have passed. */
  | { readonly action: 'retry'; readonly delayMs: number; readonly solo: boolean; readonly keepCheckpoint: boolean }
  /** At once, one rung lower. */
  | {
      readonly action: 'degrade';
      readonly rung: RungName;
      readonly fidelity: Fidelity;
      readonly keepCheckpoint: boolean;
    }
  /** On another worker. */
  | { readonly action: 'relocate'; readonly delayMs: number; readonly keepCheckpoint: boolean }
  /** Back into the queue as if the attempt had not been. */
  | { readonly action: 'return' }
  | { readonly action: 'end'; readonly state: 'failed' | 'expired' | 'cancelled' };

/** What the decision rests on. */
export interface FailedAttempt {
  readonly failure: Failure;
  /** Attempts that count against the job, this one included: see {@link spentAttempts}. */
  readonly countedAttempts: number;
  /** Attempts in whose midst a worker died, this one included: see {@link killsIn}. */
  readonly kills: number;
  /** It had the device to itself. */
  readonly wasSolo: boolean;
  /** Attempts of other models were on the device as it failed. */
  readonly besideOtherModels: boolean;
  readonly cancelRequested: boolean;
  /** Milliseconds until the job expires; null: never. */
  readonly msToDeadline: number | null;
}

/** Where else a job may go. */
export interface WaysOut {
  /** What the ladder offers; null: nothing more. */
  readonly rung: Rung | null;
  /** Workers, besides the one that failed, that the job does not avoid. */
  readonly otherWorkers: number;
}

/**
 * Decides what becomes of a job whose attempt failed. Pure: `random` is a number in [0, 1) for the jitter.
 *
 * A retry that cannot begin before the deadline is not made.
 */
export function decideNext(attempt: FailedAttempt, ways: WaysOut, backoff: Backoff, random: number): Decision {
  const { failure, countedAttempts } = attempt;
  const { disposition } = REACTIONS[failure.kind];
  const maxAttempts = isUnbegun(failure) ? UNBEGUN_ATTEMPTS : REACTIONS[failure.kind].maxAttempts;
  if (attempt.cancelRequested) return { action: 'end', state: 'cancelled' };
  if (isRefusedCheckpoint(failure)) return { action: 'retry', delayMs: 0, solo: false, keepCheckpoint: false };
  const delayMs = backoffMs(backoff, countedAttempts - 1, random);
  const tooLate = attempt.msToDeadline !== null && delayMs >= attempt.msToDeadline;
  const retry = (): Decision => {
    if (countedAttempts >= maxAttempts) return { action: 'end', state: 'failed' };
    if (tooLate) return { action: 'end', state: 'expired' };
    return { action: 'retry', delayMs, solo: false, keepCheckpoint: true };
  };
  switch (disposition) {
    case 'reject':
      return { action: 'end', state: 'failed' };
    case 'give_up':
      return { action: 'end', state: failure.kind === 'cancelled' ? 'cancelled' : 'expired' };
    case 'degrade':
      // The room it was promised may have been another's to take: alone it needs no rung, as likely as not.
      if (attempt.besideOtherModels && !attempt.wasSolo)
        return { action: 'retry', delayMs: 0, solo: true, keepCheckpoint: true };
      // Rungs are finite, so they need no count; a rung keeps what was done unless it changes the picture's size.
      if (ways.rung !== null) {
        const { name, fidelity } = ways.rung;
        return { action: 'degrade', rung: name, fidelity, keepCheckpoint: name !== 'lower_resolution' };
      }
      if (ways.otherWorkers > 0) return { action: 'relocate', delayMs: 0, keepCheckpoint: true };
      return retry();
    case 'relocate':
      if (ways.otherWorkers > 0 && countedAttempts < maxAttempts) {
        return { action: 'relocate', delayMs: 0, keepCheckpoint: true };
      }
      return retry();
    case 'retry': {
      if (failure.kind === 'worker_stopping') return { action: 'return' };
      const killed = isKill(failure);
      if (killed && attempt.wasSolo && attempt.kills > KILLS_BEFORE_SOLO) return { action: 'end', state: 'failed' };
      const next = retry();
      const suspect = killed && attempt.kills >= KILLS_BEFORE_SOLO;
      return next.action === 'retry' ? { ...next, solo: suspect } : next;
    }
  }
}

/**
 * Attempts that count against a failure: not those given back unharmed; those that took a rung of the ladder only against
 * want of memory, for the ladder is finite by itself and says nothing of a defect; those that had begun nothing only among
 * themselves.
 */
export function spentAttempts(
  attempts: readonly Pick<Attempt, 'outcome' | 'failure'>[],
  against: Pick<Failure, 'kind' | 'phase'>,
): number {
  const isOfLadder = ({ kind }: Pick<Failure, 'kind'>) => kind === 'device_out_of_memory';
  return attempts.filter(({ outcome, failure }) => {
    if (outcome === 'returned') return false;
    if (failure === null) return true;
    if (isUnbegun(failure)) return isUnbegun(against);
    return !isOfLadder(failure) || isOfLadder(against);
  }).length;
}

/** How many workers died with the job in them. One that died before it had begun anything is not held against it. */
export function killsIn(attempts: readonly Attempt[]): number {
  return attempts.filter(({ outcome, failure }) => outcome === 'failed' && failure !== null && isKill(failure)).length;
}

const KILLING: ReadonlySet<FailureKind> = new Set(['device_fatal', 'worker_lost', 'worker_hung']);

function isKill({ kind, phase }: Failure): boolean {
  return KILLING.has(kind) && phase !== null;
}

function isUnbegun({ kind, phase }: Pick<Failure, 'kind' | 'phase'>): boolean {
  return KILLING.has(kind) && phase === null;
}

/** The worker would not go on from it: damaged, or of a model that has changed. From the beginning, the job can be run. */
function isRefusedCheckpoint({ kind, field }: Failure): boolean {
  return kind === 'invalid_request' && field === 'checkpoint';
}
