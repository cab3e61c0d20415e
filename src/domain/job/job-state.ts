/**
 * States of a job and the one table of its transitions.
 *
 * The words are the same in the API, in the rows and in the metrics. A final state never changes; retention deletes it.
 */
export const JOB_STATES = ['scheduled', 'queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired'] as const;
export type JobState = (typeof JOB_STATES)[number];

/** Who moves a job along each edge is said beside it; every edge is one guarded statement in the store. */
const TRANSITIONS: Record<JobState, readonly JobState[]> = {
  scheduled: ['queued', 'cancelled', 'expired'], // due; cancel; deadline passed
  queued: ['running', 'cancelled', 'expired'], // claim; cancel; deadline passed
  running: ['succeeded', 'failed', 'cancelled', 'expired', 'scheduled', 'queued'], // outcome; retry after backoff; given back
  succeeded: [],
  failed: [],
  cancelled: [],
  expired: [],
};

export type FinalJobState = 'succeeded' | 'failed' | 'cancelled' | 'expired';

export function isFinal(state: JobState): state is FinalJobState {
  return TRANSITIONS[state].length === 0;
}

export function canMove(from: JobState, to: JobState): boolean {
  return TRANSITIONS[from].includes(to);
}
