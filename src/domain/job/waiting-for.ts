import type { Job } from './job.js';

export const WAITING_REASONS = ['capacity', 'memory', 'model_load', 'backoff', 'start_time'] as const;
export type WaitingFor = (typeof WAITING_REASONS)[number];

/** What a job waits for, so that a person sees why nothing moves. Null when it does not wait. */
export function waitingFor(job: Pick<Job, 'state' | 'attempts' | 'progress'>): WaitingFor | null {
  switch (job.state) {
    case 'scheduled':
      return job.attempts.length > 0 ? 'backoff' : 'start_time';
    case 'queued':
      return 'capacity';
    case 'running':
      return job.progress?.phase === 'load' ? 'model_load' : null;
    case 'succeeded':
    case 'failed':
    case 'cancelled':
    case 'expired':
      return null;
  }
}
