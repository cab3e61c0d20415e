import { jobs } from '../migrations/0001-jobs.js';
import { jobCount } from '../migrations/0002-job-count.postgres.js';
import { recovery } from '../migrations/0003-recovery.js';
import { access } from '../migrations/0004-access.js';
import { traces } from '../migrations/0005-traces.js';
import type { Migration } from '../migrations/migration.js';

/**
 * Rows of a queue are written several times in their short lives; what is left of them would slow every claim down until the
 * defaults, a fifth of the table, take notice.
 */
const VACUUM = ['job', 'attempt', 'node'].map(
  (table) =>
    `ALTER TABLE ${table} SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
      autovacuum_analyze_scale_factor = 0.02)`,
);

export const POSTGRES_MIGRATIONS: readonly Migration[] = [
  jobs,
  jobCount,
  recovery(`(request::json ->> 'width')::bigint * (request::json ->> 'height')::bigint`, [...VACUUM, 'ANALYZE']),
  access,
  traces,
];
