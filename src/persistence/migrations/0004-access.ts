import type { Migration } from './migration.js';

/** What clients used of their shares, whose jobs are whose, and secrets that all nodes share. */
export const access: Migration = {
  version: 4,
  name: 'access',
  statements: [
    `CREATE TABLE client_usage (
      client text NOT NULL,
      span text NOT NULL,
      starts_at bigint NOT NULL,
      used bigint NOT NULL,
      PRIMARY KEY (client, span)
    )`,
    // A client's jobs, newest first; those of it that are not final.
    'CREATE INDEX job_by_owner ON job (client, id)',
    'CREATE INDEX job_unfinished ON job (client) WHERE finished_at IS NULL',
    `CREATE TABLE shared_secret (
      name text PRIMARY KEY,
      secret text NOT NULL
    )`,
  ],
};
