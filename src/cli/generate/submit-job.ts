import { setTimeout as delay } from 'node:timers/promises';

import type { ApiClient } from '../client/api-client.js';
import { ApiError } from '../client/api-error.js';
import { UnreachableError } from '../client/connect-error.js';
import type { JobJson } from '../client/wire.js';

const ATTEMPTS = 4;
const DEFAULT_DELAY_MS = 1000;
/** A server that asks for more patience than this is full: the person decides. */
const LONGEST_DELAY_MS = 15_000;

/** How long an answer is waited for when nobody wants the job any more: it names the job that is to be cancelled. */
const LATE_ANSWER_MS = 5000;

/**
 * Submits a job once, however often it has to be sent: the key makes the repetition harmless. When the signal aborts, what
 * is under way is not broken off at once, and rejects with why there was no answer.
 */
export async function submitJob(client: ApiClient, body: string, key: string, signal: AbortSignal): Promise<JobJson> {
  const late = lateSignal(signal);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await client.submit(body, key, late);
    } catch (error) {
      const wait = waitBefore(error);
      if (signal.aborted || wait === null || wait > LONGEST_DELAY_MS || attempt === ATTEMPTS) throw error;
      await delay(wait, undefined, { signal }).catch(() => {
        throw error;
      });
    }
  }
}

function lateSignal(signal: AbortSignal): AbortSignal {
  const late = new AbortController();
  const onAbort = () => setTimeout(() => late.abort(signal.reason), LATE_ANSWER_MS).unref();
  signal.addEventListener('abort', onAbort, { once: true });
  return late.signal;
}

/** Milliseconds after which the same request may do; null: it will not. */
function waitBefore(error: unknown): number | null {
  if (error instanceof UnreachableError) return DEFAULT_DELAY_MS;
  if (!(error instanceof ApiError) || !error.isPassing) return null;
  return error.retryAfter === null ? DEFAULT_DELAY_MS : error.retryAfter * 1000;
}
