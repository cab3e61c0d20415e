import { setTimeout as wait } from 'node:timers/promises';

import type { Logger } from 'pino';

import { StoreUnavailableError } from '../jobs/ports/job-store.port.js';

/** Longest pause between two tries, in milliseconds: a disk that has room again is used within this time. */
const LONGEST_PAUSE_MS = 5000;

/**
 * Repeats a write while the store is not available: what an attempt made is worth more than the wait, and to give up would
 * leave the job `running` for nobody. Null: the node stopped before the store came back; boot then returns the job to the
 * queue. Rejects with any other error, which repeating would not mend.
 */
export async function untilStored<T>(write: () => Promise<T>, shutdown: AbortSignal, log: Logger): Promise<T | null> {
  for (let pause = 100; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      log.error({ err: error, retryInMs: pause }, 'the outcome could not be stored');
      if (shutdown.aborted) return null;
      await wait(pause, undefined, { signal: shutdown }).catch(() => undefined);
    }
  }
}
