import { isFinal } from '../../domain/job/job-state.js';
import type { Job } from '../../domain/job/job.js';
import { FAILURE_STATUS } from '../http/failure-status.js';
import { jobPath } from '../rest/paths.js';
import type { ErrorEnvelope } from './error-envelope.js';
import { errorType } from './error-envelope.js';
import { parameterOf } from './parameter-problem.js';

/** What is answered in place of pictures. */
export interface ImagesFailure {
  readonly status: number;
  readonly envelope: ErrorEnvelope;
}

/** Why an accepted job gave no pictures; null: it gave them. */
export function imagesFailure(job: Job): ImagesFailure | null {
  if (job.state === 'succeeded') return null;
  if (!isFinal(job.state)) {
    const message = `the server stopped waiting for job ${job.id}, which goes on: look at ${jobPath(job.id)}`;
    return failureWith(503, 'unavailable', message);
  }
  if (job.state === 'cancelled')
    return failureWith(FAILURE_STATUS.cancelled, 'cancelled', `job ${job.id} was cancelled`);
  const { kind = 'internal', message = 'it ended without a reason', field } = job.failure ?? {};
  // Clients of this dialect look for mistakes of theirs under 400.
  const status = FAILURE_STATUS[kind] === 422 ? 400 : FAILURE_STATUS[kind];
  const param = field === undefined ? null : parameterOf(field);
  return failureWith(status, kind, `job ${job.id} ${job.state}: ${kind}: ${message}`, param);
}

/** A stream that has begun, of a job whose pictures cannot be read. */
export function brokenOff({ id }: Job): ImagesFailure {
  return failureWith(503, 'unavailable', `the pictures of job ${id} cannot be read now: look at ${jobPath(id)}`);
}

function failureWith(status: number, code: string, message: string, param: string | null = null): ImagesFailure {
  return { status, envelope: { error: { message, type: errorType(status), param, code } } };
}
