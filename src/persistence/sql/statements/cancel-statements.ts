import { column, type StatementGroup } from '../sql-runner.js';
import { appendLastState } from './event-statements.js';
import { attemptsOf, jobById } from './read-statements.js';

/**
 * Notes the request, ends a waiting job, tells its state, reads the job and its attempts. Noting comes first because it
 * holds the row: the job cannot move between the two writes.
 */
export function requestCancel(id: string, now: number): StatementGroup {
  return [
    {
      sql: `UPDATE job SET cancel_requested_at = coalesce(cancel_requested_at, $2)
        WHERE id = $1 AND state IN ('scheduled', 'queued', 'running') RETURNING id`,
      params: [id, now],
    },
    {
      sql: `UPDATE job SET state = 'cancelled', finished_at = $2, run_at = NULL, failure = NULL, checkpoint = NULL
        WHERE id = $1 AND state IN ('scheduled', 'queued') RETURNING id`,
      params: [column('id'), now],
      forEachRowOf: 0,
    },
    ...appendLastState(1, now),
    jobById(id),
    attemptsOf(id),
  ];
}
