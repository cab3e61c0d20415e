import { status } from '@grpc/grpc-js';

import type { FailureKind } from '../../../domain/failure/failure-kind.js';
import type { ErrorCode } from '../../http/error-codes.js';

/** Status of a call that is refused, by the code of the problem. */
export const PROBLEM_STATUS: Readonly<Record<ErrorCode, status>> = {
  malformed_json: status.INVALID_ARGUMENT,
  malformed_request: status.INVALID_ARGUMENT,
  unauthorized: status.UNAUTHENTICATED,
  forbidden: status.PERMISSION_DENIED,
  not_found: status.UNIMPLEMENTED,
  job_not_found: status.NOT_FOUND,
  artifact_not_found: status.NOT_FOUND,
  preview_not_found: status.NOT_FOUND,
  model_not_found: status.NOT_FOUND,
  worker_not_found: status.NOT_FOUND,
  method_not_allowed: status.UNIMPLEMENTED,
  idempotency_conflict: status.ALREADY_EXISTS,
  body_too_large: status.RESOURCE_EXHAUSTED,
  unsupported_media_type: status.INVALID_ARGUMENT,
  invalid_request: status.INVALID_ARGUMENT,
  queue_full: status.RESOURCE_EXHAUSTED,
  quota_exceeded: status.RESOURCE_EXHAUSTED,
  deadline_infeasible: status.RESOURCE_EXHAUSTED,
  internal: status.INTERNAL,
  unavailable: status.UNAVAILABLE,
  not_ready: status.UNAVAILABLE,
};

/**
 * Status of a call whose job did not succeed, by the kind of its failure. Only `Generate` ends so: elsewhere the call did what
 * it was asked to, and the failure is data inside the job.
 */
export const FAILURE_STATUS: Readonly<Record<FailureKind, status>> = {
  device_out_of_memory: status.RESOURCE_EXHAUSTED,
  device_fatal: status.UNAVAILABLE,
  worker_lost: status.UNAVAILABLE,
  worker_hung: status.UNAVAILABLE,
  worker_stopping: status.UNAVAILABLE,
  // Every worker was tried: somebody has to mend the model first.
  model_unavailable: status.FAILED_PRECONDITION,
  invalid_request: status.INVALID_ARGUMENT,
  rejected_output: status.INTERNAL,
  cancelled: status.CANCELLED,
  deadline_exceeded: status.DEADLINE_EXCEEDED,
  internal: status.INTERNAL,
};
