import type { Failure } from '../../domain/failure/failure.js';
import type { GenerationRequest } from '../../domain/generation/generation-request.js';
import type { Artifact, Attempt, Effective, Job, Progress } from '../../domain/job/job.js';
import type { JobEvent, JobEventBody } from '../../domain/job/job-event.js';
import type { JobState } from '../../domain/job/job-state.js';
import type { Priority } from '../../domain/job/priority.js';

/** A job as it is submitted. */
export interface NewJob {
  readonly id: string;
  readonly request: GenerationRequest;
  /** `queued`, or `scheduled` when it may not begin before `runAt`. */
  readonly runAt: number | null;
  readonly createdAt: number;
}

/** The client's key for a submission, and a hash of what was submitted under it. */
export interface Idempotency {
  readonly key: string;
  /** SHA-256 of the canonical body, lower-case hex. */
  readonly requestHash: string;
}

export type InsertResult =
  | { readonly outcome: 'inserted'; readonly jobs: readonly Job[]; readonly events: readonly JobEvent[] }
  /** The key was used before with the same body: these are the jobs of that time. Nothing was inserted. */
  | { readonly outcome: 'existing'; readonly jobs: readonly Job[] }
  /** The key was used before with another body. Nothing was inserted. */
  | { readonly outcome: 'conflict'; readonly jobId: string }
  /** The jobs would exceed the bound on waiting jobs. Nothing was inserted. */
  | { readonly outcome: 'queue_full'; readonly waiting: number };

/** The right to record on a running job. A write under an outdated token changes nothing and says so. */
export interface Claim {
  readonly jobId: string;
  /** Attempt number, from 1. */
  readonly attempt: number;
  /** Grows with every claim and every return of the job; fences off who lost it. */
  readonly token: number;
}

export interface ClaimedJob {
  readonly claim: Claim;
  readonly job: Job;
}

/** A model a device can run now. */
export interface ClaimableModel {
  readonly model: string;
  /** Head start in milliseconds, so that a warm model is preferred for a bounded time. */
  readonly bonusMs: number;
}

/** What an attempt amounted to; written together with the job's new state. */
export type AttemptRecord = Omit<Attempt, 'number' | 'startedAt' | 'outcome'> & {
  readonly outcome: Exclude<Attempt['outcome'], 'running'>;
};

export interface JobFilter {
  readonly states?: readonly JobState[];
  readonly model?: string;
  readonly priority?: Priority;
  /** Newest first; jobs with an id below this one. */
  readonly beforeId?: string;
  readonly limit: number;
}

/** Stored events that a state change wrote, for publication after the commit. */
export interface Recorded {
  /** False: the claim was lost (or the job was not in a state for it); nothing was written. */
  readonly recorded: boolean;
  readonly events: readonly JobEvent[];
}

/**
 * The store cannot take or give anything now: its disk is full or gone, it is overrun, or it was closed. Nothing of the
 * call was written.
 */
export class StoreUnavailableError extends Error {
  constructor(reason: string, cause?: Error) {
    super(`the job store is unavailable: ${reason}`, { cause });
    this.name = 'StoreUnavailableError';
  }
}

/**
 * Where jobs live. Every method is one statement or one atomic group of statements, is durable when its promise resolves,
 * and takes the time as an argument. Guarded writes carry their guard in the name. Every change of state also writes its
 * `state` event (and `final` after a final one) in the same group and returns the events it wrote.
 */
export abstract class JobStore {
  /** Inserts all jobs or none. `maxWaiting` bounds the jobs in `scheduled` and `queued` together, these included. */
  abstract insert(
    jobs: readonly NewJob[],
    bound: { maxWaiting: number },
    idempotency: Idempotency | null,
  ): Promise<InsertResult>;
  abstract get(id: string): Promise<Job | null>;
  /** Newest first, by id. */
  abstract list(filter: JobFilter): Promise<readonly Job[]>;
  /** Jobs per state; every state is present. */
  abstract countByState(): Promise<Readonly<Record<JobState, number>>>;
  /** Models that scheduled and queued jobs name, each once. */
  abstract waitingModels(): Promise<readonly string[]>;
  /** The submission that was made under this key, if one was; inserts nothing. */
  abstract findSubmission(
    idempotency: Idempotency,
  ): Promise<Extract<InsertResult, { outcome: 'existing' | 'conflict' }> | null>;
  /** Jobs that became final at or after this time. */
  abstract countFinishedSince(since: number): Promise<number>;
  /** 1 for the next to run, over all models; null when the job is not `queued`. */
  abstract queuePosition(id: string): Promise<number | null>;

  /** Takes the first queued job among these models by `sortAt − bonus`, moves it to `running`, opens its next attempt. */
  abstract claimNext(
    models: readonly ClaimableModel[],
    now: number,
  ): Promise<(ClaimedJob & { events: readonly JobEvent[] }) | null>;
  /** Notes which worker and device an attempt went to. */
  abstract recordPlacementIfClaimed(claim: Claim, placement: { worker: string; device: string }): Promise<boolean>;
  /** Stores progress in the row (and the attempt's furthest phase and step), and appends the events. */
  abstract recordProgressIfClaimed(
    claim: Claim,
    progress: Progress,
    events: readonly JobEventBody[],
    now: number,
  ): Promise<Recorded>;
  /** running → succeeded, with artifacts and what was really run; writes one `artifact` event per artifact. */
  abstract completeIfClaimed(
    claim: Claim,
    attempt: AttemptRecord,
    result: { artifacts: readonly Artifact[]; effective: Effective },
    now: number,
  ): Promise<Recorded>;
  /** running → failed, cancelled or expired. */
  abstract endIfClaimed(
    claim: Claim,
    attempt: AttemptRecord,
    end: { state: 'failed' | 'cancelled' | 'expired'; failure: Failure | null },
    now: number,
  ): Promise<Recorded>;
  /** running → scheduled, due at `runAt`, keeping its place in the order. Becomes `cancelled` when a cancel is pending. */
  abstract retryIfClaimed(
    claim: Claim,
    attempt: AttemptRecord,
    retry: { runAt: number; failure: Failure },
    now: number,
  ): Promise<Recorded>;
  /** running → queued, unharmed: the attempt is kept with outcome `returned` and costs nothing (see {@link countedAttempts}). Becomes `cancelled` when a cancel is pending. */
  abstract returnIfClaimed(claim: Claim, attempt: AttemptRecord, now: number): Promise<Recorded>;

  /**
   * scheduled or queued → cancelled at once; running: notes the request, which the owner carries out.
   * `job` is null when there is no such job.
   */
  abstract requestCancel(id: string, now: number): Promise<{ job: Job | null; events: readonly JobEvent[] }>;
  /** scheduled → queued for all that are due. */
  abstract promoteDue(now: number): Promise<readonly JobEvent[]>;
  /** scheduled or queued → expired for all whose `start_by` or `finish_by` has passed. */
  abstract expireDue(now: number): Promise<readonly JobEvent[]>;
  /** Earliest `runAt` or deadline that {@link promoteDue} or {@link expireDue} will act on; null when there is none. */
  abstract nextDueAt(): Promise<number | null>;
  /**
   * running → queued for every job, when the caller knows that no other owner lives (the embedded store: at boot). The open
   * attempt ends as failed with `failure`; a job whose cancel is pending becomes `cancelled`; one that has spent
   * `maxAttempts` counted attempts becomes `failed`.
   */
  abstract reclaimAll(failure: Failure, maxAttempts: number, now: number): Promise<readonly JobEvent[]>;
  /** Deletes final jobs finished before `before` with their attempts and events, at most `limit`; returns their ids. */
  abstract purge(before: number, limit: number): Promise<readonly string[]>;

  /** Events of a job with a number above `afterSeq`, in order. */
  abstract eventsAfter(id: string, afterSeq: number): Promise<readonly JobEvent[]>;

  /** Closes the store. Safe to call twice. */
  abstract close(): Promise<void>;
}

/** Attempts that count against a job: all but those given back unharmed. */
export function countedAttempts(attempts: readonly Attempt[]): number {
  return attempts.filter((attempt) => attempt.outcome !== 'returned').length;
}
