import type { Job } from '../job/job.js';
import type { Role } from './role.js';

/** How much a key may ask for; null: no bound of its own. */
export interface CallerLimits {
  /** Jobs that are not final, at any time. */
  readonly maxUnfinishedJobs: number | null;
  /** Jobs submitted within a minute of the clock. */
  readonly maxJobsPerMinute: number | null;
  /** Pictures asked for within a day of UTC. */
  readonly maxImagesPerDay: number | null;
}

export const NO_LIMITS: CallerLimits = { maxUnfinishedJobs: null, maxJobsPerMinute: null, maxImagesPerDay: null };

/** Who sends a request. */
export interface Caller {
  /**
   * Owner of what is submitted, for fairness, for the scope of idempotency keys and for who may see a job: the id of the key;
   * while no keys are in use, something that tells clients apart, empty for nobody in particular.
   */
  readonly client: string;
  readonly role: Role;
  readonly limits: CallerLimits;
}

/** The server itself, and whoever stands for it. */
export const OPERATOR: Caller = { client: '', role: 'operator', limits: NO_LIMITS };

/** Whether a caller may know that a job exists. */
export function maySee({ role, client }: Caller, job: Pick<Job, 'client'>): boolean {
  return role === 'operator' || (role === 'user' && job.client === client);
}
