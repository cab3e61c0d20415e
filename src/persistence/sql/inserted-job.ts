import type { Job } from '../../domain/job/job.js';
import type { JobEvent } from '../../domain/job/job-event.js';
import type { InsertResult, NewJob } from '../../jobs/ports/job-store.port.js';
import { jobsFrom } from './job-row.js';
import type { Row } from './sql-runner.js';

export type Submission = Extract<InsertResult, { outcome: 'existing' | 'conflict' }>;

/** What an earlier submission under a key means for one with this hash. */
export function submissionFrom(jobs: readonly Row[], attempts: readonly Row[], requestHash: string): Submission {
  if (jobs[0]?.request_hash !== requestHash) return { outcome: 'conflict', jobId: jobs[0]?.id as string };
  return { outcome: 'existing', jobs: jobsFrom(jobs, attempts) };
}

/** A job as it stands right after it was inserted. */
export function asInserted({ id, request, client, runAt, createdAt, trace }: NewJob): Job {
  return {
    id,
    state: runAt === null ? 'queued' : 'scheduled',
    request,
    createdAt,
    startedAt: null,
    finishedAt: null,
    runAt,
    cancelRequestedAt: null,
    client,
    node: null,
    degradations: [],
    solo: false,
    avoids: [],
    checkpoint: null,
    progress: null,
    attempts: [],
    artifacts: [],
    effective: null,
    failure: null,
    trace,
  };
}

export function firstEvent({ id, state, createdAt }: Job): JobEvent {
  return { jobId: id, seq: 1, at: createdAt, body: { type: 'state', state, attempt: 0 } };
}
