import type { Attempt, Job } from '../../domain/job/job.js';
import type { JobEvent } from '../../domain/job/job-event.js';
import type { Claim } from '../../jobs/ports/job-store.port.js';
import type { Row } from './sql-runner.js';

/** Columns {@link jobsFrom} reads. */
export const JOB_COLUMNS =
  'job.id, job.state, job.request, job.created_at, job.started_at, job.finished_at, job.run_at, job.cancel_requested_at, job.client, ' +
  'job.node, job.degradations, job.solo, job.avoids, job.checkpoint, job.progress, job.artifacts, job.effective, job.failure, job.trace';

/** Columns {@link jobsFrom} reads. */
export const ATTEMPT_COLUMNS =
  'attempt.job_id, number, attempt.node, worker, device, attempt.started_at, attempt.finished_at, phase, step, outcome, attempt.failure, ' +
  'phases, peak_memory_bytes, attempt.degradations, resumed_from_step, memory';

/** Columns {@link eventFrom} reads. */
export const EVENT_COLUMNS = 'job_id, seq, at, body';

/** The rows were written by this store under its schema's checks, so their shapes are taken as given. */
function jobFrom(row: Row, attempts: readonly Attempt[]): Job {
  return {
    id: row.id as string,
    state: row.state as Job['state'],
    request: parsed(row.request) as Job['request'],
    createdAt: row.created_at as number,
    startedAt: row.started_at as number | null,
    finishedAt: row.finished_at as number | null,
    runAt: row.run_at as number | null,
    cancelRequestedAt: row.cancel_requested_at as number | null,
    client: row.client as string,
    node: row.node as string | null,
    degradations: parsed(row.degradations) as Job['degradations'],
    solo: row.solo === 1,
    avoids: parsed(row.avoids) as Job['avoids'],
    checkpoint: parsed(row.checkpoint) as Job['checkpoint'],
    progress: parsed(row.progress) as Job['progress'],
    attempts,
    artifacts: parsed(row.artifacts) as Job['artifacts'],
    effective: parsed(row.effective) as Job['effective'],
    failure: parsed(row.failure) as Job['failure'],
    trace: row.trace as string | null,
  };
}

/** Jobs with their attempts; the attempts of a job come in order of number. */
export function jobsFrom(jobs: readonly Row[], attempts: readonly Row[]): Job[] {
  const byJob = Map.groupBy(attempts, (row) => row.job_id);
  return jobs.map((row) => jobFrom(row, (byJob.get(row.id ?? null) ?? []).map(attemptFrom)));
}

export function claimFrom(row: Row): Claim {
  return { jobId: row.id as string, attempt: row.attempt as number, token: row.lease_token as number };
}

export function eventFrom(row: Row): JobEvent {
  return {
    jobId: row.job_id as string,
    seq: row.seq as number,
    at: row.at as number,
    body: parsed(row.body) as JobEvent['body'],
  };
}

function attemptFrom(row: Row): Attempt {
  return {
    number: row.number as number,
    node: row.node as string | null,
    worker: row.worker as string | null,
    device: row.device as string | null,
    startedAt: row.started_at as number,
    finishedAt: row.finished_at as number | null,
    phase: row.phase as Attempt['phase'],
    step: row.step as number,
    outcome: row.outcome as Attempt['outcome'],
    failure: parsed(row.failure) as Attempt['failure'],
    phases: parsed(row.phases) as Attempt['phases'],
    peakMemoryBytes: row.peak_memory_bytes as number | null,
    degradations: parsed(row.degradations) as Attempt['degradations'],
    resumedFromStep: row.resumed_from_step as number | null,
    memory: parsed(row.memory) as Attempt['memory'],
  };
}

function parsed(json: Row[string] | undefined): unknown {
  return typeof json === 'string' ? JSON.parse(json) : null;
}
