import type { JobEventBody } from '../../../domain/job/job-event.js';
import type { Artifact, Effective, Progress } from '../../../domain/job/job.js';
import type { Failure } from '../../../domain/failure/failure.js';
import { PHASES } from '../../../domain/job/phase.js';
import type { AttemptRecord, Claim } from '../../../jobs/ports/job-store.port.js';
import type { SqlValue, Statement, StatementGroup } from '../sql-runner.js';
import { appendEvent, appendState } from './event-statements.js';

/** Params 1 to 3. All groups here begin with a write under this guard and hang the rest on the row it returns. */
const IF_CLAIMED = `id = $1 AND lease_token = $2 AND attempt = $3 AND state = 'running'`;

function guard({ jobId, token, attempt }: Claim): SqlValue[] {
  return [jobId, token, attempt];
}

const PHASE_RANK = `CASE phase ${PHASES.map((phase, rank) => `WHEN '${phase}' THEN ${rank}`).join(' ')} ELSE -1 END`;

export function recordPlacement(claim: Claim, { worker, device }: { worker: string; device: string }): Statement {
  return {
    sql: `UPDATE attempt SET worker = $4, device = $5
      WHERE job_id = $1 AND number = $3 AND EXISTS (SELECT 1 FROM job WHERE ${IF_CLAIMED})
      RETURNING job_id`,
    params: [...guard(claim), worker, device],
  };
}

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
      sql: `UPDATE job SET state = 'succeeded', finished_at = $4, artifacts = $5, effective = $6
        WHERE ${IF_CLAIMED} RETURNING id`,
      params: [...guard(claim), now, JSON.stringify(artifacts), JSON.stringify(effective)],
    },
    endAttempt(claim, attempt, now),
    ...artifacts.map(({ index, sha256, seed }) => appendEvent(0, { type: 'artifact', index, sha256, seed }, now)),
    ...appendState(0, now),
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
      sql: `UPDATE job SET state = $4, finished_at = $5, failure = $6 WHERE ${IF_CLAIMED} RETURNING id`,
      params: [...guard(claim), state, now, failure === null ? null : JSON.stringify(failure)],
    },
    endAttempt(claim, attempt, now),
    ...appendState(0, now),
  ];
}

/** Back to `scheduled` for another attempt; the token grows, so whoever still runs this one can record nothing more. */
export function retry(
  claim: Claim,
  attempt: AttemptRecord,
  { runAt, failure }: { runAt: number; failure: Failure },
  now: number,
): StatementGroup {
  return [
    {
      sql: `UPDATE job SET lease_token = lease_token + 1, progress = NULL,
          state = CASE WHEN cancel_requested_at IS NULL THEN 'scheduled' ELSE 'cancelled' END,
          run_at = CASE WHEN cancel_requested_at IS NULL THEN CAST($4 AS bigint) END,
          failure = CASE WHEN cancel_requested_at IS NULL THEN $5 END,
          finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN CAST($6 AS bigint) END
        WHERE ${IF_CLAIMED} RETURNING id`,
      params: [...guard(claim), runAt, JSON.stringify(failure), now],
    },
    endAttempt(claim, attempt, now),
    ...appendState(0, now),
  ];
}

/** Back to `queued`, unharmed. */
export function giveBack(claim: Claim, attempt: AttemptRecord, now: number): StatementGroup {
  return [
    {
      sql: `UPDATE job SET lease_token = lease_token + 1, progress = NULL,
          state = CASE WHEN cancel_requested_at IS NULL THEN 'queued' ELSE 'cancelled' END,
          finished_at = CASE WHEN cancel_requested_at IS NOT NULL THEN CAST($4 AS bigint) END
        WHERE ${IF_CLAIMED} RETURNING id`,
      params: [...guard(claim), now],
    },
    endAttempt(claim, { ...attempt, outcome: 'returned' }, now),
    ...appendState(0, now),
  ];
}

/** What the record leaves open does not erase what was noted while the attempt ran. */
function endAttempt(claim: Claim, attempt: AttemptRecord, now: number): Statement {
  return {
    sql: `UPDATE attempt SET worker = coalesce($3, worker), device = coalesce($4, device), phase = coalesce($5, phase),
        step = CASE WHEN step < $6 THEN $6 ELSE step END,
        finished_at = $7, outcome = $8, failure = $9, phases = $10, peak_memory_bytes = $11, degradations = $12,
        resumed_from_step = $13
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
    ],
    forEachRowOf: 0,
  };
}
