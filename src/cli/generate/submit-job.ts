import { setTimeout as delay } from 'node:timers/promises';

import type { ApiClient } from '../client/api-client.js';
import { ApiError } from '../client/api-error.js';
import { UnreachableError } from '../client/connect-error.js';
import type { JobJson } from '../client/wire.js';

const ATTEMPTS = 4;
const DEFAULT_DELAY_MS = 1000;
/** A server that asks for more patience than this is full: the person decides. */
const LONGEST_DELAY_MS = 15_000;

/** Submits a job once, however often it has to be sent: the key makes the repetition harmless. */
export async function submitJob(client: ApiClient, body: string, key: string, signal: AbortSignal): Promise<JobJson> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await client.submit(body, key, signal);
    } catch (error) {
      const wait = waitBefore(error);
      if (signal.aborted || wait === null || wait > LONGEST_DELAY_MS || attempt === ATTEMPTS) throw error;
      await delay(wait, undefined, { signal });
    }
  }
}

/** Milliseconds after which the same request may do; null: it will not. */
function waitBefore(error: unknown): number | null {
  if (error instanceof UnreachableError) return DEFAULT_DELAY_MS;
  if (!(error instanceof ApiError) || !error.isPassing) return null;
  return error.retryAfter === null ? DEFAULT_DELAY_MS : error.retryAfter * 1000;
}
