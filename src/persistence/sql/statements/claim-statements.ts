import type { ClaimableModel } from '../../../jobs/ports/job-store.port.js';
import { ATTEMPT_COLUMNS, JOB_COLUMNS } from '../job-row.js';
import { column, type StatementGroup } from '../sql-runner.js';
import { appendState } from './event-statements.js';

/**
 * Takes the job, opens its attempt, tells its state, reads its attempts.
 *
 * Each model's head is looked up by itself: as a scalar subquery that is one step in the claim index however many jobs
 * wait. Joins and windows over the same rows made planners read thousands.
 */
export function claimNext(models: readonly ClaimableModel[], now: number): StatementGroup {
  const candidates = models.map((_, i) => `(CAST($${2 * i + 2} AS text), CAST($${2 * i + 3} AS bigint))`);
  return [
    {
      sql: `WITH candidate (model, bonus) AS (VALUES ${candidates.join(', ')}),
        head AS MATERIALIZED (
          SELECT bonus, (
            SELECT job.id FROM job
            WHERE job.state = 'queued' AND job.model = candidate.model
            ORDER BY job.sort_at, job.id LIMIT 1
          ) AS id
          FROM candidate
        )
        UPDATE job
        SET state = 'running', attempt = attempt + 1, lease_token = lease_token + 1,
          started_at = coalesce(started_at, $1), progress = NULL, failure = NULL
        WHERE state = 'queued' AND id = (
          SELECT job.id FROM head JOIN job ON job.id = head.id
          ORDER BY job.sort_at - head.bonus, job.sort_at, job.id LIMIT 1
        )
        RETURNING attempt, lease_token, ${JOB_COLUMNS}`,
      params: [now, ...models.flatMap(({ model, bonusMs }) => [model, Math.round(bonusMs)])],
    },
    {
      sql: 'INSERT INTO attempt (job_id, number, started_at) VALUES ($1, $2, $3)',
      params: [column('id'), column('attempt'), now],
      forEachRowOf: 0,
    },
    ...appendState(0, now),
    {
      sql: `SELECT ${ATTEMPT_COLUMNS} FROM attempt WHERE job_id = $1 ORDER BY number`,
      params: [column('id')],
      forEachRowOf: 0,
    },
  ];
}
