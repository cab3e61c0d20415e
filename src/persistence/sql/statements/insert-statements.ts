import type { Job } from '../../../domain/job/job.js';
import { priorityRank, sortAt } from '../../../domain/job/priority.js';
import type { Idempotency } from '../../../jobs/ports/job-store.port.js';
import { ATTEMPT_COLUMNS, JOB_COLUMNS } from '../job-row.js';
import type { Statement, StatementGroup } from '../sql-runner.js';

/** Keys of different clients have nothing to do with each other. A key may have spaces, but none in front. */
function stored({ client, key }: Pick<Idempotency, 'client' | 'key'>): string {
  return client === '' ? key : ` ${client} ${key}`;
}

/** Attempts and jobs of an earlier submission under the key; ends the group when there is one. */
export function earlierSubmission(idempotency: Pick<Idempotency, 'client' | 'key'>): StatementGroup {
  const key = stored(idempotency);
  return [
    {
      sql: `SELECT ${ATTEMPT_COLUMNS} FROM attempt JOIN submission ON submission.job_id = attempt.job_id
        WHERE idempotency_key = $1 ORDER BY number`,
      params: [key],
    },
    {
      sql: `SELECT request_hash, ${JOB_COLUMNS} FROM submission JOIN job ON id = job_id
        WHERE idempotency_key = $1 ORDER BY position`,
      params: [key],
      stopIfRows: true,
    },
  ];
}

/** Ends the group, telling how many wait, when `count` more would exceed `maxWaiting`. */
export function stopIfFull(count: number, maxWaiting: number): Statement {
  return {
    sql: `SELECT CAST(coalesce(sum(n), 0) AS bigint) AS waiting FROM job_count WHERE state IN ('scheduled', 'queued')
      HAVING coalesce(sum(n), 0) + $1 > $2`,
    params: [count, maxWaiting],
    stopIfRows: true,
  };
}

export function insertJob({ id, state, request, client, runAt, createdAt, trace }: Job): Statement {
  return {
    sql: `INSERT INTO job (id, state, priority, model, request, sort_at, run_at, start_by, finish_by, created_at, client, pixels, webhook, trace)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
    params: [
      id,
      state,
      priorityRank(request.priority),
      request.model,
      JSON.stringify(request),
      sortAt(request.priority, createdAt),
      runAt,
      request.start_by,
      request.finish_by,
      createdAt,
      client,
      request.width * request.height,
      request.webhook,
      trace,
    ],
  };
}

export function rememberSubmission(jobs: readonly Job[], idempotency: Idempotency): StatementGroup {
  return jobs.map(({ id }, position) => ({
    sql: 'INSERT INTO submission (idempotency_key, position, request_hash, job_id) VALUES ($1, $2, $3, $4)',
    params: [stored(idempotency), position, idempotency.requestHash, id],
  }));
}
