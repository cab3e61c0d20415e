import type { SqlDialect } from '../sql/sql-dialect.js';

/** Many nodes write at once, each with a clock of its own: rows are taken, and time is the database's. */
export const POSTGRES_DIALECT: SqlDialect = {
  kind: 'postgresql',
  version: `current_setting('server_version')`,
  takeJob: 'FOR UPDATE OF job SKIP LOCKED',
  takeDelivery: 'FOR UPDATE SKIP LOCKED',
  // The caller's time is named with no effect: a parameter that stands nowhere has no type, which is an error.
  leaseClock: (now) =>
    `(CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint) + 0 * coalesce(CAST(${now} AS bigint), 0))`,
};
