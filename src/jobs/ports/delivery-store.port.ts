/** A message to a webhook: one per job that names one, written in the statement that makes the job final. */
export interface Delivery {
  readonly jobId: string;
  readonly url: string;
  /** The same at every try, so that a receiver can drop repetitions. */
  readonly messageId: string;
  /** Tries so far. */
  readonly tries: number;
  readonly createdAt: number;
}

export const DELIVERY_STATES = ['pending', 'delivered', 'given_up'] as const;
export type DeliveryState = (typeof DELIVERY_STATES)[number];

/** A delivery and how it went so far. */
export interface DeliveryReport extends Delivery {
  readonly state: DeliveryState;
  /** Epoch milliseconds of the next try; null when there is none. */
  readonly nextAt: number | null;
  /** HTTP status of the last answer; null: there was no answer. */
  readonly lastStatus: number | null;
  /** Why the last try failed; null: it did not, or there was none. */
  readonly lastError: string | null;
}

/** Webhook messages that are to be delivered. */
export abstract class DeliveryStore {
  /** Takes messages that are due, at most `limit`; nobody else gets them for `holdMs`, a crash in between included. */
  abstract takeDue(now: number, holdMs: number, limit: number): Promise<readonly Delivery[]>;
  abstract markDelivered(jobId: string, status: number): Promise<void>;
  /** Notes a failed try. `nextAt` null: no further one. */
  abstract markFailed(jobId: string, error: string, status: number | null, nextAt: number | null): Promise<void>;
  /** When the next message is due, in epoch milliseconds; null: none is pending. */
  abstract nextDueAt(): Promise<number | null>;
  /** Messages that are still to be delivered. */
  abstract countPending(): Promise<number>;
  /** The message of a job; null when it has none. */
  abstract of(jobId: string): Promise<DeliveryReport | null>;
}
