import type { Migration } from './migration.js';

/**
 * Jobs per state, kept by triggers: every submission asks how many jobs wait, and SQLite would count them one by one.
 * SQLite has one writer, so the counter rows cost no waiting; where many write at once, `job_count` is better a view.
 */
export const jobCount: Migration = {
  version: 2,
  name: 'job count',
  statements: [
    'CREATE TABLE job_count (state text PRIMARY KEY, n bigint NOT NULL)',
    `INSERT INTO job_count (state, n) VALUES
      ('scheduled', 0), ('queued', 0), ('running', 0), ('succeeded', 0), ('failed', 0), ('cancelled', 0), ('expired', 0)`,
    `CREATE TRIGGER job_count_insert AFTER INSERT ON job BEGIN
      UPDATE job_count SET n = n + 1 WHERE state = new.state;
    END`,
    `CREATE TRIGGER job_count_move AFTER UPDATE OF state ON job WHEN old.state <> new.state BEGIN
      UPDATE job_count SET n = n - 1 WHERE state = old.state;
      UPDATE job_count SET n = n + 1 WHERE state = new.state;
    END`,
    `CREATE TRIGGER job_count_delete AFTER DELETE ON job BEGIN
      UPDATE job_count SET n = n - 1 WHERE state = old.state;
    END`,
  ],
};
