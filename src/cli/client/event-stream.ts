import { setTimeout as delay } from 'node:timers/promises';

import { createParser } from 'eventsource-parser';

import { parseJson } from './json.js';

export interface ServerEvent {
  readonly event: string;
  readonly data: unknown;
}

export interface StreamOptions {
  /** Opens the stream after the given event; throws what {@link isPassing} judges. */
  readonly open: (lastEventId: string | null, signal: AbortSignal) => Promise<Response>;
  /** Whether trying again may help. */
  readonly isPassing: (error: unknown) => boolean;
  /** The event after which the stream is complete. */
  readonly lastEvent: string;
  readonly signal: AbortSignal;
  readonly limits?: Partial<StreamLimits>;
  /** Told of every sign of life: the server is there, though nothing may happen. */
  readonly onLife?: () => void;
  /** Told that the server does not answer, not only that a connection ended; and that it answers again. */
  readonly onAway?: (isAway: boolean) => void;
}

export interface StreamLimits {
  /** Tries in a row without a sign of life before the stream is given up. */
  readonly attempts: number;
  /** Wait before the second try; doubled with each. */
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  /** Silence after which a connection is taken for dead. The server speaks every 15 s; two beats may get lost. */
  readonly silenceMs: number;
}

/** Some four seconds where nobody answers. How long to wait for a server that is gone is for the caller to say. */
const LIMITS: StreamLimits = { attempts: 5, baseDelayMs: 250, maxDelayMs: 5000, silenceMs: 45_000 };

/** One connection may end for many reasons; when the next one fails too, the server is taken to be away. */
const AWAY_AFTER = 2;

/** The stream ended for good before its last event came. */
export class StreamLostError extends Error {
  override readonly name = 'StreamLostError';
}

/**
 * Server-sent events up to the last one, over as many connections as it takes: after a drop it goes on behind the event
 * that was seen last, so none is missed and none comes twice.
 */
export async function* readEvents(options: StreamOptions): AsyncGenerator<ServerEvent> {
  const { open, isPassing, lastEvent, signal, onLife, onAway } = options;
  const limits = { ...LIMITS, ...options.limits };
  let lastEventId: string | null = null;
  let failures = 0;
  for (;;) {
    const connection = new AbortController();
    const both = AbortSignal.any([signal, connection.signal]);
    const alive = () => {
      if (failures >= AWAY_AFTER) onAway?.(false);
      failures = 0;
      onLife?.();
    };
    try {
      const response = await open(lastEventId, both);
      for await (const { id, event, data } of eventsOf(response, () => connection.abort(), alive, limits.silenceMs)) {
        lastEventId = id ?? lastEventId;
        yield { event, data };
        if (event === lastEvent) return;
      }
      failures += 1;
      if (failures >= limits.attempts) throw new StreamLostError('the stream ended before its last event');
    } catch (error) {
      if (signal.aborted || error instanceof StreamLostError || !isPassing(error)) throw error;
      failures += 1;
      if (failures >= limits.attempts)
        throw new StreamLostError('the connection could not be restored', { cause: error });
    } finally {
      // Also when the reader leaves the loop: an abandoned body would keep its connection.
      connection.abort();
    }
    if (failures === AWAY_AFTER) onAway?.(true);
    await delay(Math.min(limits.maxDelayMs, limits.baseDelayMs * 2 ** (failures - 1)), undefined, { signal });
  }
}

async function* eventsOf(response: Response, hangUp: () => void, onChunk: () => void, silenceMs: number) {
  const found: { id: string | null; event: string; data: unknown }[] = [];
  const parser = createParser({
    onEvent: ({ id, event, data }) => found.push({ id: id ?? null, event: event ?? 'message', data: parseJson(data) }),
  });
  const decoder = new TextDecoder();
  const silence = setTimeout(hangUp, silenceMs);
  try {
    for await (const chunk of response.body ?? []) {
      silence.refresh();
      onChunk();
      parser.feed(decoder.decode(chunk as Uint8Array, { stream: true }));
      yield* found.splice(0);
    }
  } finally {
    clearTimeout(silence);
  }
}
