import type { Phase } from '../../domain/job/phase.js';

/** Limits in milliseconds. */
export interface StallLimits {
  /** One step, decode or encode may take this long. */
  readonly stallTimeoutMs: number;
  /** Loading weights from a cold disk may take this long. */
  readonly loadTimeoutMs: number;
}

/** What is known of a worker's engine loop. */
export interface LoopSighting {
  /** Since the loop last went round, as the worker told at its last answer. */
  readonly loopAgeMs: number;
  /** Since that answer. */
  readonly silentMs: number;
  /** What it was doing then. */
  readonly phase: Phase | null;
}

/**
 * Whether an engine stands still: the loop has not gone round for longer than what it was doing may take. A process that
 * does not answer at all (stopped, or its main thread is stuck) ages the same way.
 */
export function isStalled({ loopAgeMs, silentMs, phase }: LoopSighting, limits: StallLimits): boolean {
  const limit = phase === 'load' ? Math.max(limits.loadTimeoutMs, limits.stallTimeoutMs) : limits.stallTimeoutMs;
  return loopAgeMs + silentMs > limit;
}
