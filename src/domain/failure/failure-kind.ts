/** What the orchestrator does about a failure. */
export const DISPOSITIONS = ['retry', 'degrade', 'relocate', 'reject', 'give_up'] as const;
export type Disposition = (typeof DISPOSITIONS)[number];

/** Everything that can go wrong with an attempt or a job. The words stand in rows, API, proto and metrics. */
export const FAILURE_KINDS = [
  'device_out_of_memory',
  'device_fatal',
  'worker_lost',
  'worker_hung',
  'worker_stopping',
  'model_unavailable',
  'invalid_request',
  'rejected_output',
  'cancelled',
  'deadline_exceeded',
  'internal',
] as const;
export type FailureKind = (typeof FAILURE_KINDS)[number];

interface Reaction {
  readonly disposition: Disposition;
  /** Attempts a job may spend in all before a failure of this kind ends it. */
  readonly maxAttempts: number;
}

/**
 * The one table from kind to reaction.
 *
 * A lost process may be another job's fault, so it is tried more often than a defect in our own code; five is where a job
 * that kills every worker it meets is taken to be the cause.
 */
export const REACTIONS: Record<FailureKind, Reaction> = {
  device_out_of_memory: { disposition: 'degrade', maxAttempts: 5 },
  device_fatal: { disposition: 'retry', maxAttempts: 5 },
  worker_lost: { disposition: 'retry', maxAttempts: 5 },
  worker_hung: { disposition: 'retry', maxAttempts: 5 },
  worker_stopping: { disposition: 'retry', maxAttempts: Number.POSITIVE_INFINITY },
  model_unavailable: { disposition: 'relocate', maxAttempts: 3 },
  invalid_request: { disposition: 'reject', maxAttempts: 1 },
  rejected_output: { disposition: 'retry', maxAttempts: 2 },
  cancelled: { disposition: 'give_up', maxAttempts: 1 },
  deadline_exceeded: { disposition: 'give_up', maxAttempts: 1 },
  internal: { disposition: 'retry', maxAttempts: 3 },
};
