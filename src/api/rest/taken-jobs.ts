import type { Job } from '../../domain/job/job.js';
import type { SubmitResult } from '../../jobs/submit/submit-jobs.js';
import { Problem, invalidFields } from '../http/problem.js';
import { unavailable } from '../http/unavailable.js';
import { jobPath } from './paths.js';

/** The jobs a submission led to; throws the problem document when it led to none. `hasKey`: its repetition is harmless. */
export function takenJobs(result: SubmitResult, hasKey: boolean): { jobs: readonly Job[]; isNew: boolean } {
  switch (result.outcome) {
    case 'accepted':
      return { jobs: result.jobs, isNew: true };
    case 'existing':
      return { jobs: result.jobs, isNew: false };
    case 'invalid':
      throw invalidFields(result.problems);
    case 'not_serving':
      throw unavailable(
        'the server drains or stops and takes no more jobs; nothing was enqueued',
        result.retryAfterSeconds,
      );
    case 'unknown': {
      const next = hasKey
        ? 'send it again with the same Idempotency-Key: it gives the same job'
        : 'look at GET /v1/jobs before sending it again';
      const detail = `the store of jobs broke off; whether it has the job is not known: ${next}`;
      throw unavailable(detail, result.retryAfterSeconds);
    }
    case 'deadline_infeasible': {
      const { problems, retryAfterSeconds } = result;
      throw new Problem(
        'deadline_infeasible',
        'at the rate of the last minute a deadline would pass; nothing was enqueued',
        {
          headers: { 'Retry-After': String(retryAfterSeconds) },
          errors: problems,
        },
      );
    }
    case 'no_worker': {
      const { problems, retryAfterSeconds } = result;
      throw new Problem('not_ready', 'no worker takes work now, and a deadline is near; nothing was enqueued', {
        headers: { 'Retry-After': String(retryAfterSeconds) },
        errors: problems,
      });
    }
    case 'conflict':
      throw new Problem(
        'idempotency_conflict',
        `this Idempotency-Key belongs to ${jobPath(result.jobId)}, with another body`,
      );
    case 'over_limit': {
      const { limit, used, max, renewsAt, retryAfterSeconds } = result;
      const renews = renewsAt === null ? {} : { renews_at: new Date(renewsAt).toISOString() };
      throw new Problem('quota_exceeded', `${limit} of this key is ${max} and ${used} are used; nothing was enqueued`, {
        headers: { 'Retry-After': String(retryAfterSeconds) },
        errors: [{ field: limit, message: 'is used up', value: used, limit: { [limit]: max, ...renews } }],
      });
    }
    case 'queue_full': {
      const { waiting, limit, retryAfterSeconds } = result;
      throw new Problem('queue_full', `${waiting} jobs wait and the limit is ${limit}; nothing was enqueued`, {
        headers: { 'Retry-After': String(retryAfterSeconds) },
        errors: [{ field: 'queue', message: 'is full', value: waiting, limit: { max_waiting: limit } }],
      });
    }
  }
}
