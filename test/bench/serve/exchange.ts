import type { Priority } from './mix.js';
import type { Drawing } from './plan.js';

/** How a request ended. `refused`: 429, nothing was enqueued. */
export type Outcome = 'succeeded' | 'refused' | 'failed';

/** One request and its answer, whatever the dialect. */
export interface Exchange {
  readonly outcome: Outcome;
  /** The server's word for a refusal or failure, or ours where none came; null: it succeeded. */
  readonly reason: string | null;
  /** Milliseconds from acceptance to the first claim, by the server's clock; null: the dialect does not tell. */
  readonly queueMs: number | null;
  /** The files of a success, in order. Throws when one is not to be had. */
  readonly pictures: () => Promise<readonly Buffer[]>;
}

export interface ClientTerms {
  /** Id; null: the server's default. */
  readonly model: string | null;
  /** Longest time of a request. */
  readonly timeoutSeconds: number;
}

/** Sends one request and follows it to its end. Never throws: what goes wrong is an outcome. */
export interface DialectClient {
  draw(drawing: Drawing, priority: Priority | null): Promise<Exchange>;
}

const NO_PICTURES = () => Promise.resolve([]);

export function unanswered(error: unknown): Exchange {
  const { code, message } = error as NodeJS.ErrnoException;
  return { outcome: 'failed', reason: code ?? message, queueMs: null, pictures: NO_PICTURES };
}

/** An answer that holds no picture. */
export function refusedOrFailed(status: number, reason: string): Exchange {
  return { outcome: status === 429 ? 'refused' : 'failed', reason, queueMs: null, pictures: NO_PICTURES };
}
