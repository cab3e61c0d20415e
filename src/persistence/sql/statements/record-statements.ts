import type { Degradation } from '../../../domain/degradation/degradation.js';
import type { JobEventBody } from '../../../domain/job/job-event.js';
import type { Artifact, Effective, Progress, StoredCheckpoint } from '../../../domain/job/job.js';
import type { Failure } from '../../../domain/failure/failure.js';
import { PHASES } from '../../../domain/job/phase.js';
import type { AttemptRecord, Claim, NextTry } from '../../../jobs/ports/job-store.port.js';
import type { SqlValue, Statement, StatementGroup } from '../sql-runner.js';
import { appendDegradations, appendEvent, appendLastState } from './event-statements.js';

/** Params 1 to 3. All groups here begin with a write under this guard and hang the rest on the row it returns. */
const IF_CLAIMED = `id = $1 AND lease_token = $2 AND attempt = $3 AND state = 'running'`;

function guard({ jobId, token, attempt }: Claim): SqlValue[] {
  return [jobId, token, attempt];
}

/** Nobody holds the job any more. */
const RELEASED = 'node = NULL, lease_until = NULL';

const PHASE_RANK = `CASE phase ${PHASES.map((phase, rank) => `WHEN '${phase}' THEN ${rank}`).join(' ')} ELSE -1 END`;

export function recordProgress(
  claim: Claim,
  progress: Progress,
  events: readonly JobEventBody[],
  now: number,
): StatementGroup {
  const { phase, step } = progress;
  return [
    {
      sql: `UPDATE job SET progress = $4 WHERE ${IF_CLAIMED} RETURNING id`,
      params: [...guard(claim), JSON.stringify(progress)],
    },
    {
      sql: `UPDATE attempt SET
          phase = CASE WHEN ${PHASE_RANK} < $4 THEN $3 ELSE phase END,
          step = CASE WHEN step < $5 THEN $5 ELSE step END
        WHERE job_id = $1 AND number = $2`,
      params: [claim.jobId, claim.attempt, phase, PHASES.indexOf(phase), step],
      forEachRowOf: 0,
    },
    ...events.map((body) => appendEvent(0, body, now)),
  ];
}

export function complete(
  claim: Claim,
  attempt: AttemptRecord,
  { artifacts, effective }: { artifacts: readonly Artifact[]; effective: Effective },
  now: number,
): StatementGroup {
  return [
    {
      sql: `UPDATE job SET state = 'succeeded', finished_at = $4, artifacts = $5, effective = $6, failure = NULL, ${RELEASED}, checkpoint = NULL
        WHERE ${IF_CLAIMED} RETURNING id`,
      params: [...guard(claim), now, JSON.stringify(artifacts), JSON.stringify(effective)],
    },
    endAttempt(claim, attempt, now),
    ...artifacts.map(({ index, sha256, seed }) => appendEvent(0, { type: 'artifact', index, sha256, seed }, now)),
    ...appendLastState(0, now),
  ];
}

export function end(
  claim: Claim,
  attempt: AttemptRecord,
  { state, failure }: { state: 'failed' | 'cancelled' | 'expired'; failure: Failure | null },
  now: number,
): StatementGroup {
  return [
    {
      sql: `UPDATE job SET state = $4, finished_at = $5, failure = $6, ${RELEASED}, checkpoint = NULL
        WHERE ${IF_CLAIMED} RETURNING id`,
      params: [...guard(claim), state, now, failure === null ? null : JSON.stringify(failure)],
    },
    endAttempt(claim, attempt, now),
    ...appendLastState(0, now),
  ];
}

/**
 * Back to `scheduled` or `queued` for another attempt; the token grows, so whoever still runs this one can record nothing
 * more. Rungs foreseen before the attempt were told when they were recorded.
 */
export function retry(claim: Claim, attempt: AttemptRecord, next: NextTry, now: number): StatementGroup {
  const { runAt, failure, degradations, solo, avoids, keepCheckpoint } = next;
  const taken = degradations.filter((one) => one.attempt === claim.attempt && one.cause !== 'predicted');
  return [
    {
      sql: `UPDATE job SET lease_token = lease_token + 1, progress = NULL, ${RELEASED},
          state = CASE WHEN cancel_requested_at IS NOT NULL THEN 'cancelled' WHEN CAST($4 AS bigint) = 0 THEN 'queued' ELSE 'scheduled' END,
          run_at = CASE WHEN cancel_requested_at IS NULL AND CAST($4 AS bigint) <> 0 THEN CAST($4 AS bigint) END,
          failure = CASE WHEN cancel_requested_at IS NULL THEN $5 END,
          finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN CAST($6 AS bigint) END,
          degradations = CASE WHEN cancel_requested_at IS NULL THEN $7 ELSE degradations END, solo = $8, avoids = $9,
          checkpoint = CASE WHEN cancel_requested_at IS NULL AND CAST($10 AS integer) = 1 THEN checkpoint END
        WHERE ${IF_CLAIMED} RETURNING id`,
      params: [
        ...guard(claim),
        runAt ?? 0,
        JSON.stringify(failure),
        now,
        JSON.stringify(degradations),
        Number(solo),
        JSON.stringify(avoids),
        Number(keepCheckpoint),
      ],
    },
    endAttempt(claim, attempt, now),
    ...appendDegradations(0, taken, now),
    ...appendLastState(0, now),
  ];
}

/** Back to `queued`, unharmed. */
export function giveBack(claim: Claim, attempt: AttemptRecord, now: number): StatementGroup {
  return [
    {
      sql: `UPDATE job SET lease_token = lease_token + 1, progress = NULL, ${RELEASED},
          state = CASE WHEN cancel_requested_at IS NULL THEN 'queued' ELSE 'cancelled' END,
          checkpoint = CASE WHEN cancel_requested_at IS NULL THEN checkpoint END,
          finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN CAST($4 AS bigint) END
        WHERE ${IF_CLAIMED} RETURNING id`,
      params: [...guard(claim), now],
    },
    endAttempt(claim, { ...attempt, outcome: 'returned' }, now),
    ...appendLastState(0, now),
  ];
}

/** The checkpoint before it, then the write. Only the owner of a claim writes it, so nothing comes in between. */
export function recordCheckpoint(claim: Claim, checkpoint: StoredCheckpoint): StatementGroup {
  return [
    { sql: `SELECT checkpoint FROM job WHERE ${IF_CLAIMED}`, params: guard(claim) },
    {
      sql: `UPDATE job SET checkpoint = $4 WHERE ${IF_CLAIMED} RETURNING id`,
      params: [...guard(claim), JSON.stringify(checkpoint)],
    },
  ];
}

/** Rungs that were foreseen for this attempt; those of earlier attempts were told then. */
export function recordDegradations(claim: Claim, degradations: readonly Degradation[], now: number): StatementGroup {
  const foreseen = degradations.filter((one) => one.attempt === claim.attempt && one.cause === 'predicted');
  return [
    {
      sql: `UPDATE job SET degradations = $4 WHERE ${IF_CLAIMED} RETURNING id`,
      params: [...guard(claim), JSON.stringify(degradations)],
    },
    ...appendDegradations(0, foreseen, now),
  ];
}

/** What the record leaves open does not erase what was noted while the attempt ran. */
function endAttempt(claim: Claim, attempt: AttemptRecord, now: number): Statement {
  return {
    sql: `UPDATE attempt SET worker = coalesce($3, worker), device = coalesce($4, device), phase = coalesce($5, phase),
        step = CASE WHEN step < $6 THEN $6 ELSE step END,
        finished_at = $7, outcome = $8, failure = $9, phases = $10, peak_memory_bytes = $11, degradations = $12,
        resumed_from_step = $13, memory = $14
      WHERE job_id = $1 AND number = $2`,
    params: [
      claim.jobId,
      claim.attempt,
      attempt.worker,
      attempt.device,
      attempt.phase,
      attempt.step,
      attempt.finishedAt ?? now,
      attempt.outcome,
      attempt.failure === null ? null : JSON.stringify(attempt.failure),
      JSON.stringify(attempt.phases),
      attempt.peakMemoryBytes,
      JSON.stringify(attempt.degradations),
      attempt.resumedFromStep,
      attempt.memory === null ? null : JSON.stringify(attempt.memory),
    ],
    forEachRowOf: 0,
  };
}
