import type { JobEvent, JobEventBody } from '../../../domain/job/job-event.js';
import { EVENT_COLUMNS } from '../job-row.js';
import { column, type RowColumn, type Statement } from '../sql-runner.js';

const NEXT_SEQ = '(SELECT coalesce(max(seq), 0) + 1 FROM job_event WHERE job_id = $1)';

const APPEND = `INSERT INTO job_event (job_id, seq, at, body) VALUES ($1, ${NEXT_SEQ}, $2, $3) RETURNING ${EVENT_COLUMNS}`;

const APPEND_STATE = `INSERT INTO job_event (job_id, seq, at, body)
  SELECT id, ${NEXT_SEQ}, $2, '{"type":"state","state":"' || state || '","attempt":' || attempt || '}'
  FROM job WHERE id = $1
  RETURNING ${EVENT_COLUMNS}`;

const APPEND_FINAL = `INSERT INTO job_event (job_id, seq, at, body)
  SELECT id, ${NEXT_SEQ}, $2, '{"type":"final"}'
  FROM job WHERE id = $1 AND finished_at IS NOT NULL
  RETURNING ${EVENT_COLUMNS}`;

/** Appends an event to the job of each row that statement `of` returned (as `id`). */
export function appendEvent(of: number, body: JobEventBody, now: number): Statement {
  return { sql: APPEND, params: [column('id'), now, JSON.stringify(body)], forEachRowOf: of };
}

/** Tells the state each job that statement `of` returned has come to, and that it is the last one if it is. */
export function appendState(of: number, now: number): Statement[] {
  const params: (RowColumn | number)[] = [column('id'), now];
  return [
    { sql: APPEND_STATE, params, forEachRowOf: of },
    { sql: APPEND_FINAL, params, forEachRowOf: of },
  ];
}

/** The first event of a job; its number is known, since the job is new. */
export function insertFirst({ jobId, seq, at, body }: JobEvent): Statement {
  return {
    sql: 'INSERT INTO job_event (job_id, seq, at, body) VALUES ($1, $2, $3, $4)',
    params: [jobId, seq, at, JSON.stringify(body)],
  };
}

export function eventsAfter(id: string, afterSeq: number): Statement {
  return {
    sql: `SELECT ${EVENT_COLUMNS} FROM job_event WHERE job_id = $1 AND seq > $2 ORDER BY seq`,
    params: [id, afterSeq],
  };
}
