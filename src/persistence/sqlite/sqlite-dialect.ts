import type { SqlDialect } from '../sql/sql-dialect.js';

/** One process writes, one group at a time: nothing has to be taken, and the caller's clock is the only one. */
export const SQLITE_DIALECT: SqlDialect = {
  kind: 'sqlite',
  version: 'sqlite_version()',
  takeJob: '',
  takeDelivery: '',
  leaseClock: (now) => now,
};
