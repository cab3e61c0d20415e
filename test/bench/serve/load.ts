import { setTimeout as wait } from 'node:timers/promises';

import type { DialectClient, Exchange } from './exchange.js';
import type { PlannedRequest } from './plan.js';

/** One request as it went; times in milliseconds after the start of the load. */
export interface Sample {
  readonly request: PlannedRequest;
  /** It was due and had to wait until another one ended. */
  readonly isHeldBack: boolean;
  readonly sentMs: number;
  readonly endedMs: number;
  readonly exchange: Exchange;
}

export interface LoadTerms {
  /** Requests that may be open at a time; null: any number. */
  readonly concurrency: number | null;
  /** Told after every answer. */
  readonly onEnded: (ended: number) => void;
}

/** Sends every request when it is due, whether or not earlier ones were answered. Resolves when all have ended. */
export async function sendLoad(
  plan: readonly PlannedRequest[],
  client: DialectClient,
  { concurrency, onEnded }: LoadTerms,
): Promise<readonly Sample[]> {
  const places = new Places(concurrency ?? Infinity);
  const began = performance.now();
  const now = () => performance.now() - began;
  let ended = 0;
  const send = async (request: PlannedRequest): Promise<Sample> => {
    const isHeldBack = await places.take();
    const sentMs = now();
    const exchange = await client.draw(request.drawing, request.entry.priority);
    const endedMs = now();
    places.giveBack();
    ended += 1;
    onEnded(ended);
    return { request, isHeldBack, sentMs, endedMs, exchange };
  };
  const sent: Promise<Sample>[] = [];
  for (const request of plan) {
    const early = request.dueMs - now();
    if (early > 0) await wait(early);
    sent.push(send(request));
  }
  return Promise.all(sent);
}

/** Most requests that were open at the same time. */
export function mostOpen(samples: readonly Sample[]): number {
  const changes = samples
    .flatMap(({ sentMs, endedMs }) => [
      { at: sentMs, by: 1 },
      { at: endedMs, by: -1 },
    ])
    .sort((a, b) => a.at - b.at || a.by - b.by);
  let open = 0;
  return changes.reduce((most, { by }) => Math.max(most, (open += by)), 0);
}

/** A bound on what is open; who waits gets a place in order of asking. */
class Places {
  private readonly waiting: (() => void)[] = [];

  private free: number;

  constructor(places: number) {
    this.free = places;
  }

  /** Whether it had to be waited for. */
  async take(): Promise<boolean> {
    if (this.free > 0) {
      this.free -= 1;
      return false;
    }
    await new Promise<void>((resolve) => this.waiting.push(resolve));
    return true;
  }

  giveBack(): void {
    const next = this.waiting.shift();
    if (next === undefined) this.free += 1;
    else next();
  }
}
