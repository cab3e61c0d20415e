import type { Priority } from '../../../domain/job/priority.js';
import { priorityRank } from '../../../domain/job/priority.js';
import { isFinal, JOB_STATES, type JobState } from '../../../domain/job/job-state.js';
import type { JobFilter } from '../../../jobs/ports/job-store.port.js';
import { ATTEMPT_COLUMNS, JOB_COLUMNS } from '../job-row.js';
import type { SqlValue, Statement, StatementGroup } from '../sql-runner.js';

export const COUNT_BY_STATE: Statement = { sql: 'SELECT state, n FROM job_count', params: [] };

/** Each half is one walk through an index; that of queued jobs holds all that is asked for. */
export const COUNT_WAITING: Statement = {
  sql: `SELECT 'queued' AS state, priority, count(*) AS n, min(sort_at) AS sort_at FROM job
    WHERE state = 'queued' AND priority >= 0 GROUP BY priority
    UNION ALL
    SELECT 'scheduled' AS state, priority, count(*) AS n, min(sort_at) AS sort_at FROM job
    WHERE state = 'scheduled' GROUP BY priority`,
  params: [],
};

export const WAITING_MODELS: Statement = {
  sql: "SELECT DISTINCT model FROM job WHERE state IN ('scheduled', 'queued')",
  params: [],
};

export function countFinishedSince(since: number): Statement {
  return {
    sql: `SELECT count(*) AS n FROM job
      WHERE finished_at IS NOT NULL AND finished_at >= $1 AND state IN ('succeeded', 'failed')`,
    params: [since],
  };
}

export function jobById(id: string): Statement {
  return { sql: `SELECT ${JOB_COLUMNS} FROM job WHERE id = $1`, params: [id] };
}

export function attemptsOf(id: string): Statement {
  return { sql: `SELECT ${ATTEMPT_COLUMNS} FROM attempt WHERE job_id = $1 ORDER BY number`, params: [id] };
}

export function countAhead(sortAt: number): Statement {
  return { sql: `SELECT count(*) AS n FROM job WHERE state = 'queued' AND sort_at <= $1`, params: [sortAt] };
}

/**
 * `models` names at least one. The head of each is one step in its index; asked for all models at once, a planner without
 * statistics sorts every job of the class (70 ms of 100,000).
 */
export function firstQueued(priority: Priority, models: readonly string[]): Statement {
  return {
    sql: `WITH candidate (model) AS (VALUES ${models.map((_, i) => `(CAST($${i + 2} AS text))`).join(', ')}),
      head AS MATERIALIZED (
        SELECT (
          SELECT job.id FROM job
          WHERE job.state = 'queued' AND job.priority >= 0 AND job.priority = $1 AND job.model = candidate.model
          ORDER BY job.sort_at, job.id LIMIT 1
        ) AS id
        FROM candidate
      )
      SELECT job.id, job.model FROM head JOIN job ON job.id = head.id ORDER BY job.sort_at, job.id LIMIT 1`,
    params: [priorityRank(priority), ...models],
  };
}

/** No row when the job is not queued. */
export function queuePosition(id: string): Statement {
  return {
    sql: `SELECT (
        SELECT count(*) FROM job AS ahead
        WHERE ahead.state = 'queued' AND (ahead.sort_at, ahead.id) <= (job.sort_at, job.id)
      ) AS position
      FROM job WHERE id = $1 AND state = 'queued'`,
    params: [id],
  };
}

/** A page of jobs, and the attempts of these. `states`, when given, names at least one. */
export function page(filter: JobFilter): StatementGroup {
  const { sql, params } = pageIds(filter);
  return [
    { sql: `SELECT ${JOB_COLUMNS} FROM job WHERE id IN (${sql}) ORDER BY id DESC`, params },
    { sql: `SELECT ${ATTEMPT_COLUMNS} FROM attempt WHERE job_id IN (${sql}) ORDER BY number`, params },
  ];
}

/**
 * One page is cut out of each wanted state and the pages are merged, so that a page costs the same however many jobs are
 * kept: an index gives each state in order, while no index gives several of them in order.
 */
function pageIds({ states, model, priority, client, beforeId, limit }: JobFilter): { sql: string; params: SqlValue[] } {
  const params: SqlValue[] = [];
  const placeholder = (value: SqlValue) => `$${params.push(value)}`;
  const conditions: string[] = [];
  if (model !== undefined) conditions.push(`model = ${placeholder(model)}`);
  if (priority !== undefined) conditions.push(`priority = ${placeholder(priorityRank(priority))}`);
  if (client !== undefined) conditions.push(`client = ${placeholder(client)}`);
  if (beforeId !== undefined) conditions.push(`id < ${placeholder(beforeId)}`);
  const end = `ORDER BY id DESC LIMIT ${placeholder(limit)}`;

  const idsWhere = (all: readonly string[]) =>
    `SELECT id FROM job ${all.length === 0 ? '' : `WHERE ${all.join(' AND ')}`} ${end}`;
  if (states === undefined) return { sql: idsWhere(conditions), params };

  // In the domain's order and once each, so that equal filters share one prepared statement.
  const wanted = JOB_STATES.filter((state) => states.includes(state));
  const pages = wanted.map((state) => `SELECT id FROM (${idsWhere([...inState(state), ...conditions])}) AS ${state}`);
  return { sql: `SELECT id FROM (${pages.join(' UNION ALL ')}) AS page ${end}`, params };
}

/** In the words of the partial index that holds the state. */
function inState(state: JobState): string[] {
  return [`state = '${state}'`, ...(isFinal(state) ? ['finished_at IS NOT NULL'] : [])];
}
