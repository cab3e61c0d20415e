import { setTimeout as wait } from 'node:timers/promises';

import type { AttemptInFlight } from '../in-flight.js';

/** How long each stage may take, in milliseconds. */
export interface WindDownLimits {
  /** For attempts to end by themselves. */
  readonly drainMs: number;
  /** For leaving the device with a checkpoint: a tick of a large model and its file. */
  readonly suspendMs: number;
  /** For giving a job back as it is. */
  readonly giveBackMs: number;
}

/** Together with the end of a worker, within the 25 s that whoever stops a server should leave it beyond its drain. */
export const WIND_DOWN: Omit<WindDownLimits, 'drainMs'> = { suspendMs: 10_000, giveBackMs: 5000 };

/**
 * Waits until attempts have ended by themselves, has the rest suspended, so that they go on elsewhere from where they are;
 * what is not gone by then is given back as it is. No attempt is counted or harmed. False: some are left, with a worker that
 * does nothing it is told; they end when it is ended.
 */
export async function windDown(attempts: () => readonly AttemptInFlight[], limits: WindDownLimits): Promise<boolean> {
  if (await allEnd(attempts, limits.drainMs)) return true;
  for (const attempt of attempts()) {
    void attempt.suspend().then((suspending) => {
      if (!suspending) attempt.stop('shutdown');
    });
  }
  if (await allEnd(attempts, limits.suspendMs)) return true;
  for (const attempt of attempts()) attempt.stop('shutdown');
  return allEnd(attempts, limits.giveBackMs);
}

/** Whether none is left within the limit, in milliseconds, those that came meanwhile included. */
export async function allEnd(attempts: () => readonly AttemptInFlight[], limitMs: number): Promise<boolean> {
  const limit = new AbortController();
  const late = wait(limitMs, 'late' as const, { signal: limit.signal }).catch(() => 'late' as const);
  try {
    while (attempts().length > 0) {
      const ended = Promise.all(attempts().map((attempt) => attempt.ended));
      if ((await Promise.race([ended, late])) === 'late') return attempts().length === 0;
    }
    return true;
  } finally {
    limit.abort();
  }
}
