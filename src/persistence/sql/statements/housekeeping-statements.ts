import type { Failure } from '../../../domain/failure/failure.js';
import { column, type Statement, type StatementGroup } from '../sql-runner.js';
import { appendState } from './event-statements.js';

/** The verdict counts attempts before the open ones are ended, which changes no count: an open attempt counts too. */
export function reclaimAll(failure: Failure, maxAttempts: number, now: number): StatementGroup {
  const cause = JSON.stringify(failure);
  return [
    {
      sql: `UPDATE job SET lease_token = lease_token + 1, progress = NULL, state = verdict.state,
          failure = CASE WHEN verdict.state <> 'cancelled' THEN $1 END,
          finished_at = CASE WHEN verdict.state <> 'queued' THEN CAST($3 AS bigint) END
        FROM (
          SELECT id, CASE
              WHEN cancel_requested_at IS NOT NULL THEN 'cancelled'
              WHEN (SELECT count(*) FROM attempt WHERE job_id = job.id AND outcome <> 'returned') >= $2 THEN 'failed'
              ELSE 'queued'
            END AS state
          FROM job WHERE state = 'running'
        ) AS verdict
        WHERE job.id = verdict.id AND job.state = 'running'
        RETURNING job.id AS id`,
      params: [cause, maxAttempts, now],
    },
    {
      sql: `UPDATE attempt SET outcome = 'failed', finished_at = $2, failure = $3
        WHERE job_id = $1 AND outcome = 'running'`,
      params: [column('id'), now, cause],
      forEachRowOf: 0,
    },
    ...appendState(0, now),
  ];
}

/** Attempts, events and the memory of the submission go with the job. */
export function purge(before: number, limit: number): Statement {
  return {
    sql: `DELETE FROM job WHERE id IN (
        SELECT id FROM job WHERE finished_at IS NOT NULL AND finished_at < $1 ORDER BY finished_at, id LIMIT $2
      ) RETURNING id`,
    params: [before, limit],
  };
}
