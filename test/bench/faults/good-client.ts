import { setTimeout as wait } from 'node:timers/promises';

import type { Dice } from '../support/dice.js';

const ANSWER_LIMIT_MS = 15_000;
const PAUSE_MS = 200;
/** A whole system that answers nobody for this long is down, whatever its promises are. */
const PATIENCE_MS = 180_000;

/** Answers that say: not now, try again. */
const LATER = new Set([429, 500, 502, 503, 504]);

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

export interface JsonAnswer<T> {
  readonly status: number;
  readonly json: T;
}

/** A caller as the API's documentation asks for one: it goes to any node, and tries again what may be tried again. */
export class GoodClient {
  /** Answers of 500: each is a defect, even when the next try succeeds. */
  serverErrors = 0;
  private readonly urls: () => readonly string[];
  private readonly dice: Dice;

  constructor(urls: () => readonly string[], dice: Dice) {
    this.urls = urls;
    this.dice = dice;
  }

  /** Addresses of the nodes as they listen now, in random order. */
  async anyUrl(): Promise<string> {
    const since = Date.now();
    for (;;) {
      const urls = this.urls();
      if (urls.length > 0) return this.dice.pick(urls);
      if (Date.now() - since > PATIENCE_MS) throw new Error(`no node listened for ${PATIENCE_MS} ms`);
      await wait(PAUSE_MS);
    }
  }

  /** An answer that is none of "try again later". */
  async ask(path: string, init: RequestInit = {}): Promise<Answer> {
    const since = Date.now();
    for (;;) {
      const last = await this.tryOnce(path, init);
      if (last !== null && !LATER.has(last.status)) return last;
      if (last?.status === 500) this.serverErrors += 1;
      if (Date.now() - since > PATIENCE_MS)
        throw new Error(`${path} was not answered within ${PATIENCE_MS} ms: ${last?.body.toString() ?? 'no answer'}`);
      await wait(PAUSE_MS * (0.5 + this.dice.next()));
    }
  }

  async json<T>(path: string, init: RequestInit = {}): Promise<JsonAnswer<T>> {
    const { status, body } = await this.ask(path, init);
    return { status, json: JSON.parse(body.toString()) as T };
  }

  private async tryOnce(path: string, init: RequestInit): Promise<Answer | null> {
    const url = await this.anyUrl();
    try {
      const response = await fetch(url + path, { ...init, signal: AbortSignal.timeout(ANSWER_LIMIT_MS) });
      return { status: response.status, body: Buffer.from(await response.arrayBuffer()) };
    } catch {
      // The node died, or its answer did.
      return null;
    }
  }
}
