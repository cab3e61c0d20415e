import { setTimeout as wait } from 'node:timers/promises';

import type { Logger } from 'pino';

import { ArtifactStoreUnavailableError } from '../jobs/ports/artifact-store.port.js';
import { StoreUnavailableError } from '../jobs/ports/job-store.port.js';

/** Longest pause between two tries, in milliseconds: a disk that has room again is used within this time. */
const LONGEST_PAUSE_MS = 5000;

/**
 * Repeats what a store did not take or give because it is not available: what an attempt made is worth more than the wait,
 * and to give up would leave the job `running` for nobody. Null: `giveUp` was aborted before the store came back; the job
 * then goes on when its claim is taken back. Rejects with any other error, which repeating would not mend.
 */
export async function untilStored<T>(act: () => Promise<T>, giveUp: AbortSignal, log: Logger): Promise<T | null> {
  for (let pause = 100; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof StoreUnavailableError || error instanceof ArtifactStoreUnavailableError)) throw error;
      log.error({ err: error, retryInMs: pause }, 'a store is unavailable; the attempt waits for it');
      if (giveUp.aborted) return null;
      await wait(pause, undefined, { signal: giveUp }).catch(() => undefined);
    }
  }
}
