/** What is known when a job with a deadline is submitted. Times are epoch milliseconds. */
export interface AdmissionFacts {
  /** Jobs that run before it. */
  readonly ahead: number;
  /** Jobs that became final in the last minute: the measured rate. 0: nothing is known. */
  readonly finishedLastMinute: number;
  /** How long a job like it takes from its start, in milliseconds; null: not known. */
  readonly expectedMs: number | null;
  readonly startBy: number | null;
  readonly finishBy: number | null;
  readonly now: number;
}

export type Admission =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly field: 'start_by' | 'finish_by';
      /** When it would begin or end. */
      readonly expectedAt: number;
      readonly retryAfterSeconds: number;
    };

/** Longest a client is told to wait, in seconds. */
const LONGEST_SECONDS = 60;

const MINUTE_MS = 60_000;

/**
 * Whether a job can make its deadlines at the rate of the last minute. What is not known is taken to go well: a job is
 * refused for what was measured, never for a guess.
 */
export function admit(facts: AdmissionFacts): Admission {
  const { ahead, finishedLastMinute, expectedMs, startBy, finishBy, now } = facts;
  const waitMs = finishedLastMinute === 0 ? 0 : (ahead / finishedLastMinute) * MINUTE_MS;
  const startsAt = now + waitMs;
  const endsAt = startsAt + (expectedMs ?? 0);
  const refuse = (field: 'start_by' | 'finish_by', expectedAt: number, deadline: number): Admission => {
    const seconds = Math.ceil((expectedAt - deadline) / 1000);
    return { ok: false, field, expectedAt, retryAfterSeconds: Math.min(LONGEST_SECONDS, Math.max(1, seconds)) };
  };
  if (startBy !== null && startsAt > startBy) return refuse('start_by', startsAt, startBy);
  if (finishBy !== null && endsAt > finishBy) return refuse('finish_by', endsAt, finishBy);
  return { ok: true };
}
