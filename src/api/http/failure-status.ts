import type { FailureKind } from '../../domain/failure/failure-kind.js';

/**
 * HTTP status for a job's failure, where an answer is the failure itself. The native resource shows failures as data inside
 * the job and answers 200; a dialect that waits for the picture has nothing else to answer with.
 */
export const FAILURE_STATUS: Readonly<Record<FailureKind, number>> = {
  device_out_of_memory: 503,
  device_fatal: 503,
  worker_lost: 503,
  worker_hung: 503,
  worker_stopping: 503,
  model_unavailable: 503,
  invalid_request: 422,
  rejected_output: 500,
  // What nginx answers when the client went away; there is no registered status for a cancelled job.
  cancelled: 499,
  deadline_exceeded: 504,
  internal: 500,
};
