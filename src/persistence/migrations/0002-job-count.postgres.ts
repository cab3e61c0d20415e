import type { Migration } from './migration.js';

/** Counter rows of a state: writers at a time that hold up nobody. More of them cost every submission a little. */
const SHARDS = 16;

/**
 * Jobs per state, kept by triggers: every submission asks how many jobs wait. A writer counts in the shard of its connection,
 * so that two that write at once seldom wait for each other; `job_count` is the sum.
 */
export const jobCount: Migration = {
  version: 2,
  name: 'job count',
  statements: [
    `CREATE TABLE job_count_shard (
      state text NOT NULL,
      shard integer NOT NULL,
      n bigint NOT NULL,
      PRIMARY KEY (state, shard)
    ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500)`,
    `INSERT INTO job_count_shard (state, shard, n)
      SELECT state, shard, 0 FROM unnest(
        ARRAY['scheduled', 'queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired']
      ) AS state, generate_series(0, ${SHARDS - 1}) AS shard`,
    `CREATE VIEW job_count AS SELECT state, CAST(sum(n) AS bigint) AS n FROM job_count_shard GROUP BY state`,
    // States in one order, whatever moved: two writers of one shard then wait for each other instead of locking up.
    `CREATE FUNCTION count_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      UPDATE job_count_shard AS counter SET n = n + change.by
      FROM (
        SELECT state, sum(by) AS by FROM (
          SELECT new.state AS state, 1 AS by WHERE tg_op <> 'DELETE'
          UNION ALL
          SELECT old.state, -1 WHERE tg_op <> 'INSERT'
        ) AS moves GROUP BY state ORDER BY state
      ) AS change
      WHERE counter.state = change.state AND counter.shard = pg_backend_pid() % ${SHARDS} AND change.by <> 0;
      RETURN NULL;
    END $$`,
    `CREATE TRIGGER job_count_move AFTER INSERT OR DELETE OR UPDATE OF state ON job
      FOR EACH ROW EXECUTE FUNCTION count_jobs()`,
  ],
};
