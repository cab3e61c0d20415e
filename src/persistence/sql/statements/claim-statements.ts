import type { ClaimableModel, Claimer } from '../../../jobs/ports/job-store.port.js';
import { ATTEMPT_COLUMNS, JOB_COLUMNS } from '../job-row.js';
import type { SqlDialect } from '../sql-dialect.js';
import { column, type SqlValue, type Statement, type StatementGroup } from '../sql-runner.js';
import { appendState } from './event-statements.js';

/**
 * Queued jobs of a worker: not too large, and not those that avoid it. $1 is the worker as it stands in the list. A planner
 * takes a bare comparison of two texts to be nearly never true and sorts all jobs of a group rather than step to its head;
 * of a CASE it expects half.
 */
const FITS = (maxPixels: string) =>
  `job.pixels <= ${maxPixels} AND CASE WHEN job.avoids = '[]' THEN TRUE ELSE replace(job.avoids, $1, '') = job.avoids END`;

/** Of the first job of a model that a worker can be given: one step in the claim index, which `pixels >= 0` opens. */
const MODEL_HEAD = `
  SELECT job.id FROM job
  WHERE job.state = 'queued' AND job.pixels >= 0 AND job.model = candidate.model AND ${FITS('candidate.max_pixels')}
  ORDER BY job.sort_at, job.id LIMIT 1`;

/** Rows of `candidate (model, bonus, max_pixels)` whose placeholders begin at this number. */
function candidateRows(models: readonly ClaimableModel[], first: number): string {
  const rows = models.map((_, i) => {
    const [model, bonus, pixels] = [first + 3 * i, first + 3 * i + 1, first + 3 * i + 2];
    return `(CAST($${model} AS text), CAST($${bonus} AS bigint), CAST($${pixels} AS bigint))`;
  });
  return rows.join(', ');
}

function candidateParams(models: readonly ClaimableModel[]): SqlValue[] {
  return models.flatMap(({ model, bonusMs, maxPixels }) => [
    model,
    Math.round(bonusMs),
    maxPixels ?? Number.MAX_SAFE_INTEGER,
  ]);
}

const IN_CLASS = `job.state = 'queued' AND job.model = chosen.model AND job.priority = chosen.priority`;

/** Of the first job of a client in the class that a worker can be given. */
const HEAD = (column: 'id' | 'sort_at') => `
  SELECT job.${column} FROM job
  WHERE ${IN_CLASS} AND job.client = waiting.client AND ${FITS('chosen.max_pixels')}
  ORDER BY job.sort_at, job.id LIMIT 1`;

/**
 * Takes the job, opens its attempt, tells its state, reads its attempts.
 *
 * Each model's head is looked up by itself: as a scalar subquery that is one step in the claim index however many jobs
 * wait. Joins and windows over the same rows made planners read thousands. The clients of the class it belongs to are
 * walked through in the index, from each to the next above it, and served in turn. That `pixels >= 0` opens the claim
 * index to the first question alone: for the others, of whose clients it knows nothing, a planner might think it as good.
 */
export function claimNext(
  models: readonly ClaimableModel[],
  { node, nodeName, worker, placement, leaseMs }: Claimer,
  now: number,
  dialect: SqlDialect,
): StatementGroup {
  return [
    {
      sql: `WITH RECURSIVE candidate (model, bonus, max_pixels) AS (VALUES ${candidateRows(models, 5)}),
        head AS MATERIALIZED (
          SELECT bonus, max_pixels, (${MODEL_HEAD}) AS id FROM candidate
        ),
        chosen AS MATERIALIZED (
          SELECT job.model, job.priority, head.max_pixels FROM head JOIN job ON job.id = head.id
          ORDER BY job.sort_at - head.bonus, job.sort_at, job.id LIMIT 1
        ),
        waiting (client) AS (
          SELECT (SELECT job.client FROM job WHERE ${IN_CLASS} ORDER BY job.client LIMIT 1) FROM chosen
          UNION ALL
          SELECT (
            SELECT job.client FROM job WHERE ${IN_CLASS} AND job.client > waiting.client ORDER BY job.client LIMIT 1
          )
          FROM waiting, chosen WHERE waiting.client IS NOT NULL
        ),
        turn AS MATERIALIZED (
          SELECT chosen.model, chosen.priority, chosen.max_pixels, waiting.client,
            (${HEAD('id')}) AS id, (${HEAD('sort_at')}) AS sort_at
          FROM waiting, chosen WHERE waiting.client IS NOT NULL
        ),
        served AS MATERIALIZED (
          SELECT turn.model, turn.priority, turn.client, turn.max_pixels FROM turn
          WHERE turn.id IS NOT NULL
          ORDER BY coalesce(
            (SELECT max(job.claimed_at) FROM job WHERE job.client = turn.client AND job.claimed_at IS NOT NULL), 0
          ), turn.sort_at, turn.id LIMIT 1
        )
        UPDATE job
        SET state = 'running', attempt = attempt + 1, lease_token = lease_token + 1,
          started_at = coalesce(started_at, $2), claimed_at = $2, progress = NULL, failure = NULL,
          node = $3, lease_until = ${dialect.leaseClock('$2')} + $4
        WHERE state = 'queued' AND id = (
          SELECT job.id FROM job
          WHERE job.state = 'queued' AND job.model = (SELECT model FROM served)
            AND job.priority = (SELECT priority FROM served) AND job.client = (SELECT client FROM served)
            AND ${FITS('(SELECT max_pixels FROM served)')}
          ORDER BY job.sort_at, job.id LIMIT 1 ${dialect.takeJob}
        )
        RETURNING attempt, lease_token, ${JOB_COLUMNS}`,
      params: [JSON.stringify(worker), now, node, leaseMs, ...candidateParams(models)],
    },
    {
      sql: `INSERT INTO attempt (job_id, number, started_at, node, worker, device) VALUES ($1, $2, $3, $4, $5, $6)`,
      params: [column('id'), column('attempt'), now, nodeName, placement.worker, placement.device],
      forEachRowOf: 0,
    },
    appendState(0, now),
    {
      sql: `SELECT ${ATTEMPT_COLUMNS} FROM attempt WHERE job_id = $1 ORDER BY number`,
      params: [column('id')],
      forEachRowOf: 0,
    },
  ];
}

/** For each model, whether a job of it waits that the worker can be given (`id`), taken just now by another or not. */
export function claimable(models: readonly ClaimableModel[], { worker }: Claimer): Statement {
  return {
    sql: `WITH candidate (model, bonus, max_pixels) AS (VALUES ${candidateRows(models, 2)})
      SELECT (${MODEL_HEAD}) AS id FROM candidate`,
    params: [JSON.stringify(worker), ...candidateParams(models)],
  };
}

export function renewClaims(node: string, leaseMs: number, now: number, dialect: SqlDialect): Statement {
  return {
    sql: `UPDATE job SET lease_until = ${dialect.leaseClock('$3')} + $2 WHERE state = 'running' AND node = $1
      RETURNING id, lease_token, cancel_requested_at`,
    params: [node, leaseMs, now],
  };
}
