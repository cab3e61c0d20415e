import { setTimeout as delay } from 'node:timers/promises';

import type { ApiClient } from '../client/api-client.js';
import { isFinalState } from '../client/wire.js';

/** How long a cancelled job may take to end: a step, and the word of it. */
const CANCEL_WITHIN_MS = 15_000;
const POLL_MS = 200;

/** Cancels a job and waits for its end, within bounds; returns the state it is in. */
export async function cancelAndWait(client: ApiClient, id: string): Promise<string> {
  const deadline = Date.now() + CANCEL_WITHIN_MS;
  let { state } = await client.cancel(id);
  while (!isFinalState(state) && Date.now() < deadline) {
    await delay(POLL_MS);
    ({ state } = await client.job(id));
  }
  return state;
}

/** `where`: the options that lead later commands to the same server. */
export function cancelText(id: string, state: string, where: string): string {
  if (isFinalState(state)) return `Interrupted: the job ${id} is ${state}.`;
  return `Interrupted: the job ${id} was told to stop and is still ${state}.\nNext: safelight jobs show ${id}${where}`;
}

export function notCancelledText(id: string, error: unknown, where: string): string {
  const why = error instanceof Error ? error.message : String(error);
  return `Interrupted, but the job ${id} could not be cancelled and goes on: ${why}\nNext: safelight jobs cancel ${id}${where}`;
}
