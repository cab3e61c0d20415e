import type { Job } from '../../domain/job/job.js';
import type { SubmitResult } from '../../jobs/submit/submit-jobs.js';
import { Problem, invalidFields } from '../http/problem.js';
import { jobPath } from './paths.js';

/** The jobs a submission led to; throws the problem document when it led to none. */
export function takenJobs(result: SubmitResult): { jobs: readonly Job[]; isNew: boolean } {
  switch (result.outcome) {
    case 'accepted':
      return { jobs: result.jobs, isNew: true };
    case 'existing':
      return { jobs: result.jobs, isNew: false };
    case 'invalid':
      throw invalidFields(result.problems);
    case 'not_serving':
      throw new Problem('unavailable', 'the server stops and takes no more jobs; nothing was enqueued', {
        headers: { 'Retry-After': String(result.retryAfterSeconds) },
      });
    case 'conflict':
      throw new Problem(
        'idempotency_conflict',
        `this Idempotency-Key belongs to ${jobPath(result.jobId)}, with another body`,
      );
    case 'queue_full': {
      const { waiting, limit, retryAfterSeconds } = result;
      throw new Problem('queue_full', `${waiting} jobs wait and the limit is ${limit}; nothing was enqueued`, {
        headers: { 'Retry-After': String(retryAfterSeconds) },
        errors: [{ field: 'queue', message: 'is full', value: waiting, limit: { max_waiting: limit } }],
      });
    }
  }
}
