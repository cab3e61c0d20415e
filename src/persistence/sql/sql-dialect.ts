import type { DatabaseKind } from '../../jobs/ports/job-store.port.js';

/** Where the engines' words differ. Everything else is one text for both. */
export interface SqlDialect {
  readonly kind: DatabaseKind;
  /** Expression for the version of the engine, as text. */
  readonly version: string;
  /** Ends a scalar subquery that picks a row of `job`: takes it, and passes over what others have taken. */
  readonly takeJob: string;
  /** The same for rows of `webhook_delivery`. */
  readonly takeDelivery: string;
  /**
   * Epoch milliseconds by which claims expire. Where several machines write it is the database's clock: theirs may differ.
   *
   * @param now placeholder of the caller's time, used where the database has none of its own
   */
  leaseClock(now: string): string;
}
