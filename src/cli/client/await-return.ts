import { setTimeout as delay } from 'node:timers/promises';

import type { ApiClient } from './api-client.js';

const PROBE_MS = 5000;
const POLL_MS = 1000;

/**
 * Waits until a server that went away answers. False: it did not before the deadline, on the clock of `performance.now`, or
 * the signal aborted.
 */
export async function awaitReturn(client: ApiClient, deadline: number, signal: AbortSignal): Promise<boolean> {
  for (let leftMs = deadline - performance.now(); leftMs > 0; leftMs = deadline - performance.now()) {
    if (await client.isAlive(Math.ceil(Math.min(PROBE_MS, leftMs)))) return true;
    await delay(POLL_MS, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return false;
  }
  return false;
}
