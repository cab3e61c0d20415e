import { setTimeout as sleep } from 'node:timers/promises';

/** How long a call to a bucket is waited for, and how often it is made. */
export interface Patience {
  /** Calls in all. */
  readonly tries: number;
  /** Milliseconds one call may take, besides the time its bytes are given. */
  readonly tryMs: number;
  /** Milliseconds before the second call; doubled before each further one, with jitter. */
  readonly backoffMs: number;
}

/** A server that fails over is back within these few seconds; one that is silent is given up within a minute. */
export const PATIENCE: Patience = { tries: 5, tryMs: 10_000, backoffMs: 400 };

/** 256 KiB a second: slower than any line that is worth serving pictures over. */
const MS_PER_BYTE = 1000 / (256 * 1024);

/** The bound of one call. */
export interface Bound {
  /** Aborted when the time is up. */
  readonly signal: AbortSignal;
  /** Gives the call the time that so many bytes take on a slow line, counted from now. */
  readonly allow: (bytes: number) => void;
}

export class CallTimeoutError extends Error {
  constructor(ms: number) {
    super(`no answer within ${Math.round(ms)} ms`);
    this.name = 'CallTimeoutError';
  }
}

/**
 * Makes a call until it succeeds, fails for good, or has been tried often enough; rejects with the last failure. Every try
 * is bounded, also where what is called does not heed the signal.
 */
export async function withPatience<T>(
  { tries, tryMs, backoffMs }: Patience,
  isTransient: (error: unknown) => boolean,
  call: (bound: Bound) => Promise<T>,
): Promise<T> {
  for (let number = 1; ; number += 1) {
    try {
      return await bounded(tryMs, call);
    } catch (error) {
      const isWorthAnother = error instanceof CallTimeoutError || isTransient(error);
      if (number >= tries || !isWorthAnother) throw error;
    }
    await sleep(backoffMs * 2 ** (number - 1) * (0.5 + Math.random() / 2));
  }
}

async function bounded<T>(tryMs: number, call: (bound: Bound) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const timedOut = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  const allow = (bytes: number) => {
    clearTimeout(timer);
    const ms = tryMs + bytes * MS_PER_BYTE;
    timer = setTimeout(() => {
      const error = new CallTimeoutError(ms);
      timedOut.reject(error);
      controller.abort(error);
    }, ms);
  };
  allow(0);
  try {
    return await Promise.race([call({ signal: controller.signal, allow }), timedOut.promise]);
  } finally {
    clearTimeout(timer);
  }
}
