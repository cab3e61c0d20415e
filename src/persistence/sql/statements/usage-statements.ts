import type { ClientBound } from '../../../domain/access/client-bound.js';
import type { Statement, StatementGroup } from '../sql-runner.js';

/**
 * Adds a submission to what its client used in a span, and ends the group where that is too much. One row a client and span:
 * it is written before it is judged, so that submissions of one client wait for each other and none slips through between.
 */
export function takeShare(client: string, { span, startsAt, adds, max }: ClientBound['spans'][number]): StatementGroup {
  return [
    {
      sql: `INSERT INTO client_usage (client, span, starts_at, used) VALUES ($1, $2, $3, $4)
        ON CONFLICT (client, span) DO UPDATE SET starts_at = excluded.starts_at,
          used = excluded.used + CASE WHEN client_usage.starts_at = excluded.starts_at THEN client_usage.used ELSE 0 END`,
      params: [client, span, startsAt, adds],
    },
    {
      sql: 'SELECT used FROM client_usage WHERE client = $1 AND span = $2 AND used > $3',
      params: [client, span, max],
      stopIfRows: true,
    },
  ];
}

/** Makes submissions of one client wait for each other where no span does: two that count at the same time see as little. */
export function waitTurn(client: string): Statement {
  return {
    sql: `INSERT INTO client_usage (client, span, starts_at, used) VALUES ($1, 'turn', 0, 0)
      ON CONFLICT (client, span) DO UPDATE SET used = 0`,
    params: [client],
  };
}

/** Ends the group, telling how many are not final, when `count` more would exceed `max`. */
export function stopIfTooManyUnfinished(client: string, count: number, max: number): Statement {
  return {
    sql: `SELECT CAST(count(*) AS bigint) AS used FROM job WHERE client = $1 AND finished_at IS NULL
      HAVING count(*) + $2 > $3`,
    params: [client, count, max],
    stopIfRows: true,
  };
}
