import { failure } from '../../../domain/failure/failure.js';
import type { SqlDialect } from '../sql-dialect.js';
import type { Statement, StatementGroup } from '../sql-runner.js';
import { appendLastState, appendState } from './event-statements.js';

const LATE_START = JSON.stringify(
  failure('deadline_exceeded', 'The job had not begun by its start_by.', { field: 'start_by' }),
);
const LATE_FINISH = JSON.stringify(
  failure('deadline_exceeded', 'The job had not ended by its finish_by.', { field: 'finish_by' }),
);

/** Jobs a deadline still applies to; in the words of the partial indexes. A job has begun once it was claimed. */
const AWAITING_START = `state IN ('scheduled', 'queued') AND started_at IS NULL AND start_by IS NOT NULL`;
const AWAITING_FINISH = `state IN ('scheduled', 'queued') AND finish_by IS NOT NULL`;

/**
 * Jobs moved at a time. Each row counts in a counter that other writers wait for, and on PostgreSQL the thousandth change of
 * a counter in one transaction costs a thousand times the first.
 */
const DUE_AT_A_TIME = 500;

export function promoteDue(now: number, dialect: SqlDialect): StatementGroup {
  return [
    {
      sql: `WITH due AS MATERIALIZED (
          SELECT job.id FROM job WHERE job.state = 'scheduled' AND job.run_at <= $1
          ORDER BY job.run_at LIMIT ${DUE_AT_A_TIME} ${dialect.takeJob}
        )
        UPDATE job SET state = 'queued', run_at = NULL
        WHERE state = 'scheduled' AND run_at <= $1 AND id IN (SELECT id FROM due) RETURNING id`,
      params: [now],
    },
    appendState(0, now),
  ];
}

export function expireDue(now: number): StatementGroup {
  return [
    {
      sql: `WITH late AS MATERIALIZED (
          SELECT id FROM job WHERE ${AWAITING_START} AND start_by <= $1
          UNION
          SELECT id FROM job WHERE ${AWAITING_FINISH} AND finish_by <= $1
          LIMIT ${DUE_AT_A_TIME}
        )
        UPDATE job SET state = 'expired', finished_at = $1, run_at = NULL, checkpoint = NULL,
          failure = CASE WHEN finish_by <= $1 THEN $2 ELSE $3 END
        WHERE state IN ('scheduled', 'queued') AND (finish_by <= $1 OR started_at IS NULL) AND id IN (SELECT id FROM late)
        RETURNING id`,
      params: [now, LATE_FINISH, LATE_START],
    },
    ...appendLastState(0, now),
  ];
}

export const NEXT_DUE_AT: Statement = {
  sql: `SELECT min(at) AS at FROM (
      SELECT min(run_at) AS at FROM job WHERE state = 'scheduled'
      UNION ALL
      SELECT min(start_by) AS at FROM job WHERE ${AWAITING_START}
      UNION ALL
      SELECT min(finish_by) AS at FROM job WHERE ${AWAITING_FINISH}
    ) AS due`,
  params: [],
};
