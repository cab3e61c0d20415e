import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';

import type { Dice } from '../support/dice.js';
import type { FaultName } from './fault.js';
import type { GoodClient } from './good-client.js';
import { drawPriority, PICTURE_REQUESTS } from './requests.js';

const LONGEST_HOLD_MS = 400;
const LONGEST_CANCEL_DELAY_MS = 600;

/** How a client behaves beside submitting. */
export type Manner = 'plain' | 'duplicate' | 'hang_up' | 'cancel';

/** A job that was accepted, as its client knows it. */
export interface Accepted {
  readonly id: string;
  readonly key: string;
  /** Position in the list of distinct requests. */
  readonly request: number;
  readonly manner: Manner;
  /** All ids that were answered for the key; more than one is a duplicate. */
  readonly ids: ReadonlySet<string>;
  readonly acceptedAt: number;
}

/** One in eight submits twice, one in twelve hangs up before it submits for good, one in ten cancels. */
export function drawManner(dice: Dice, faults: readonly FaultName[]): Manner {
  const drawn = dice.next();
  const manner = drawn < 0.125 ? 'duplicate' : drawn < 0.21 ? 'hang_up' : drawn < 0.31 ? 'cancel' : 'plain';
  return manner === 'plain' || faults.includes(manner) ? manner : 'plain';
}

/** Submits one job as a client of this manner would. Resolves when it is known to be accepted. */
export async function submit(client: GoodClient, dice: Dice, manner: Manner, signal: AbortSignal): Promise<Accepted> {
  const key = randomUUID();
  const request = dice.below(PICTURE_REQUESTS.length);
  // What it asks for is all of the answer's promise; the default budget of time is no deadline.
  const body = JSON.stringify({ model: 'shapes', ...PICTURE_REQUESTS[request], priority: drawPriority(dice) });
  const json = { 'content-type': 'application/json' };
  if (manner === 'hang_up') await hangUp(client, { headers: json, body }, Math.round(dice.next() * LONGEST_HOLD_MS));
  const init = { method: 'POST', headers: { ...json, 'idempotency-key': key }, body };
  const ids = await Promise.all(Array.from({ length: manner === 'duplicate' ? 2 : 1 }, () => accepted(client, init)));
  const accept: Accepted = { id: ids[0]!, key, request, manner, ids: new Set(ids), acceptedAt: Date.now() };
  if (manner === 'cancel') {
    await wait(Math.round(dice.next() * LONGEST_CANCEL_DELAY_MS), undefined, { signal }).catch(() => undefined);
    await client.ask(`/v1/jobs/${accept.id}/cancel`, { method: 'POST' });
  }
  return accept;
}

async function accepted(client: GoodClient, init: RequestInit): Promise<string> {
  const { status, json } = await client.json<{ id: string }>('/v1/jobs', init);
  if (status !== 202 && status !== 200)
    throw new Error(`a submission was refused with ${status}: ${JSON.stringify(json)}`);
  return json.id;
}

/** Waits for a picture without a key, and leaves before it is there: nobody can ask for that job again. */
async function hangUp(
  client: GoodClient,
  { headers, body }: { readonly headers: Readonly<Record<string, string>>; readonly body: string },
  afterMs: number,
): Promise<void> {
  const url = await client.anyUrl();
  const signal = AbortSignal.timeout(afterMs);
  await fetch(`${url}/v1/jobs`, { method: 'POST', headers: { ...headers, prefer: 'wait=30' }, body, signal })
    .then(
      (response) => response.arrayBuffer(),
      () => undefined,
    )
    .catch(() => undefined);
}
