import type { Degradation } from '../../../domain/degradation/degradation.js';
import type { JobEvent, JobEventBody } from '../../../domain/job/job-event.js';
import { EVENT_COLUMNS } from '../job-row.js';
import { column, type RowColumn, type Statement } from '../sql-runner.js';

const NEXT_SEQ = '(SELECT coalesce(max(seq), 0) + 1 FROM job_event WHERE job_id = $1)';

const APPEND = `INSERT INTO job_event (job_id, seq, at, body) VALUES ($1, ${NEXT_SEQ}, $2, $3) RETURNING ${EVENT_COLUMNS}`;

/** The same to a job that goes on. */
const APPEND_IF_OPEN = `INSERT INTO job_event (job_id, seq, at, body)
  SELECT id, ${NEXT_SEQ}, $2, $3 FROM job WHERE id = $1 AND finished_at IS NULL
  RETURNING ${EVENT_COLUMNS}`;

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

/** The one place where messages to webhooks come from: however a job becomes final, there is one, and not a second. */
const OWE_MESSAGE = `INSERT INTO webhook_delivery (job_id, url, message_id, next_at, created_at)
  SELECT id, webhook, 'msg_' || id, $2, $2 FROM job
  WHERE id = $1 AND finished_at IS NOT NULL AND webhook IS NOT NULL`;

/** Tells the state each job that statement `of` returned has come to; for states that are not final. */
export function appendState(of: number, now: number): Statement {
  return { sql: APPEND_STATE, params: [column('id'), now], forEachRowOf: of };
}

/** The same for states that may be final: the last event says so, and a webhook is owed its message. */
export function appendLastState(of: number, now: number): Statement[] {
  const params: (RowColumn | number)[] = [column('id'), now];
  return [APPEND_STATE, APPEND_FINAL, OWE_MESSAGE].map((sql) => ({ sql, params, forEachRowOf: of }));
}

/** Tells of rungs a job goes on upon; of none when it became final instead. */
export function appendDegradations(of: number, degradations: readonly Degradation[], now: number): Statement[] {
  return degradations.map(({ rung, fidelity, cause }) => {
    const body: JobEventBody = { type: 'degradation', rung, fidelity, cause };
    return { sql: APPEND_IF_OPEN, params: [column('id'), now, JSON.stringify(body)], forEachRowOf: of };
  });
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
