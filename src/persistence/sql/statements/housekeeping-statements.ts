import type { Failure } from '../../../domain/failure/failure.js';
import type { Abandoned } from '../../../jobs/ports/job-store.port.js';
import type { SqlDialect } from '../sql-dialect.js';
import { column, type SqlValue, type Statement, type StatementGroup } from '../sql-runner.js';
import { appendLastState } from './event-statements.js';

/**
 * Of an abandoned job. The cancel is read from the row as it is when it is written: it may have been asked for while the
 * statement waited for the row.
 */
const VERDICT = `CASE WHEN job.cancel_requested_at IS NOT NULL THEN 'cancelled' WHEN found.is_spent THEN 'failed' ELSE 'queued' END`;

/** The verdict counts attempts before the open ones are ended, which changes no count: an open attempt counts too. */
export function reclaim(
  which: Abandoned,
  failure: Failure,
  maxAttempts: number,
  now: number,
  dialect: SqlDialect,
): StatementGroup {
  const cause = JSON.stringify(failure);
  const { sql: abandoned, params } = abandonedBy(which, dialect);
  return [
    {
      sql: `UPDATE job SET lease_token = lease_token + 1, progress = NULL, node = NULL, lease_until = NULL,
          state = ${VERDICT},
          checkpoint = CASE WHEN ${VERDICT} = 'queued' THEN checkpoint END,
          failure = CASE WHEN job.cancel_requested_at IS NULL THEN $1 END,
          finished_at = CASE WHEN ${VERDICT} <> 'queued' THEN CAST($3 AS bigint) END
        FROM (
          SELECT id,
            (SELECT count(*) FROM attempt WHERE job_id = job.id AND outcome <> 'returned') >= $2 AS is_spent
          FROM job WHERE ${abandoned}
        ) AS found
        WHERE job.id = found.id AND ${abandoned}
        RETURNING job.id AS id`,
      params: [cause, maxAttempts, now, ...params],
    },
    {
      sql: `UPDATE attempt SET outcome = 'failed', finished_at = $2, failure = $3
        WHERE job_id = $1 AND outcome = 'running'`,
      params: [column('id'), now, cause],
      forEachRowOf: 0,
    },
    ...appendLastState(0, now),
  ];
}

/** Asked twice, also of the row as it is when it is written: its owner may have renewed the claim in between. */
function abandonedBy(which: Abandoned, dialect: SqlDialect): { sql: string; params: SqlValue[] } {
  switch (which.kind) {
    case 'all':
      return { sql: `job.state = 'running'`, params: [] };
    case 'node':
      return { sql: `job.state = 'running' AND job.node = $4`, params: [which.node] };
    case 'expired':
      return { sql: `job.state = 'running' AND job.lease_until < ${dialect.leaseClock('$3')}`, params: [] };
  }
}

/** Attempts, events, the message to a webhook and the memory of the submission go with the job. */
export function purge(before: number, limit: number): Statement {
  return {
    sql: `DELETE FROM job WHERE id IN (
        SELECT id FROM job WHERE finished_at IS NOT NULL AND finished_at < $1 ORDER BY finished_at, id LIMIT $2
      ) RETURNING id`,
    params: [before, limit],
  };
}
