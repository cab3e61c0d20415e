import type { ClientBound, ClientLimit } from '../../domain/access/client-bound.js';
import type { Degradation } from '../../domain/degradation/degradation.js';
import type { Failure } from '../../domain/failure/failure.js';
import type { GenerationRequest } from '../../domain/generation/generation-request.js';
import type { Artifact, Attempt, Effective, Job, Progress, StoredCheckpoint } from '../../domain/job/job.js';
import type { JobEvent, JobEventBody } from '../../domain/job/job-event.js';
import type { JobState } from '../../domain/job/job-state.js';
import type { Priority } from '../../domain/job/priority.js';

/** A job as it is submitted. */
export interface NewJob {
  readonly id: string;
  readonly request: GenerationRequest;
  /** Who submits it, for fairness and for the scope of idempotency keys; empty: nobody in particular. */
  readonly client: string;
  /** `queued`, or `scheduled` when it may not begin before `runAt`. */
  readonly runAt: number | null;
  readonly createdAt: number;
  /** As in {@link Job}. */
  readonly trace: string | null;
}

/** The client's key for a submission, and a hash of what was submitted under it. */
export interface Idempotency {
  /** Keys of different clients have nothing to do with each other. */
  readonly client: string;
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
  | { readonly outcome: 'queue_full'; readonly waiting: number }
  /** The jobs would exceed a limit of their client, of which this much is used. Nothing was inserted. */
  | {
      readonly outcome: 'over_limit';
      readonly limit: ClientLimit;
      readonly used: number;
      readonly max: number;
      /** When the count begins anew, epoch milliseconds; null: when jobs end. */
      readonly renewsAt: number | null;
    };

/** What a submission must stay within. */
export interface SubmissionBound {
  /** Jobs in `scheduled` and `queued` together. */
  readonly maxWaiting: number;
  /** Absent: the client has no limits of its own. */
  readonly client?: ClientBound | undefined;
}

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
  /** Width times height of the largest picture there is room for now; null: any. */
  readonly maxPixels: number | null;
}

/** Who claims, and what for. */
export interface Claimer {
  /** Id of the node that will own the claim. */
  readonly node: string;
  /** Name of that node, for the record of the attempt. */
  readonly nodeName: string;
  /** Worker the job would go to, as `<node name>/<worker id>`: jobs that avoid it are passed over. */
  readonly worker: string;
  /** Where the attempt goes, for its record. */
  readonly placement: { readonly worker: string; readonly device: string };
  /** How long the claim holds unless it is renewed, in milliseconds. */
  readonly leaseMs: number;
}

/** Running jobs nobody runs any more. */
export type Abandoned =
  /** All: the caller knows that no other owner lives (the embedded store, at boot). */
  | { readonly kind: 'all' }
  /** Those of a node that has ended. */
  | { readonly kind: 'node'; readonly node: string }
  /** Those whose claim was not renewed in time. */
  | { readonly kind: 'expired' };

/** A claim as it stands after a renewal. */
export interface RenewedClaim {
  readonly jobId: string;
  readonly token: number;
  readonly cancelRequested: boolean;
}

/** How a job goes on after an attempt that failed. */
export interface NextTry {
  /** When; null: now, in its old place in the order. */
  readonly runAt: number | null;
  readonly failure: Failure;
  /** As in {@link Job}, whole. */
  readonly degradations: readonly Degradation[];
  readonly solo: boolean;
  readonly avoids: readonly string[];
  /** False: it begins at the beginning. */
  readonly keepCheckpoint: boolean;
}

/** What an attempt amounted to; written together with the job's new state. */
export type AttemptRecord = Omit<Attempt, 'number' | 'node' | 'startedAt' | 'outcome'> & {
  readonly outcome: Exclude<Attempt['outcome'], 'running'>;
};

export interface JobFilter {
  readonly states?: readonly JobState[];
  readonly model?: string;
  readonly priority?: Priority;
  /** Who submitted them. */
  readonly client?: string;
  /** Newest first; jobs with an id below this one. */
  readonly beforeId?: string;
  readonly limit: number;
}

/** Jobs that wait, of one state and class. */
export interface WaitingClass {
  readonly state: Extract<JobState, 'scheduled' | 'queued'>;
  readonly priority: Priority;
  readonly jobs: number;
  /** When the one that waits longest was submitted, in epoch milliseconds. */
  readonly oldestAt: number;
}

export type DatabaseKind = 'sqlite' | 'postgresql';

/** The database that holds the jobs, as it tells itself. */
export interface DatabaseEngine {
  readonly kind: DatabaseKind;
  readonly version: string;
}

/** Stored events that a state change wrote, for publication after the commit. */
export interface Recorded {
  /** False: the claim was lost (or the job was not in a state for it); nothing was written. */
  readonly recorded: boolean;
  readonly events: readonly JobEvent[];
}

/**
 * The store cannot take or give anything now: its disk is full or gone, it is overrun, or it was closed. Nothing of the
 * call was written; only where a connection broke over the commit itself, all of it may have been.
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
  /** Whether other nodes work on the same jobs. */
  abstract readonly isShared: boolean;

  /**
   * Inserts all jobs or none, within the bound, these included; in a shared store those that are inserted at the very same
   * moment may exceed `maxWaiting`. What a client used up in a span is counted here and never given back.
   */
  abstract insert(
    jobs: readonly NewJob[],
    bound: SubmissionBound,
    idempotency: Idempotency | null,
  ): Promise<InsertResult>;
  abstract get(id: string): Promise<Job | null>;
  /** Newest first, by id. */
  abstract list(filter: JobFilter): Promise<readonly Job[]>;
  /** Jobs per state; every state is present. */
  abstract countByState(): Promise<Readonly<Record<JobState, number>>>;
  /** Those of `scheduled` and `queued` by class; a class without jobs is left out. */
  abstract countWaiting(): Promise<readonly WaitingClass[]>;
  abstract engine(): Promise<DatabaseEngine>;
  /** Models that scheduled and queued jobs name, each once. */
  abstract waitingModels(): Promise<readonly string[]>;
  /** The submission that was made under this key, if one was; inserts nothing. */
  abstract findSubmission(
    idempotency: Idempotency,
  ): Promise<Extract<InsertResult, { outcome: 'existing' | 'conflict' }> | null>;
  /** Jobs that workers were done with at or after this time: not those that were called off. */
  abstract countFinishedSince(since: number): Promise<number>;
  /** Queued jobs that run before one with this `sortAt`, over all models. */
  abstract countAhead(sortAt: number): Promise<number>;
  /** The first queued job of a class among these models; null when there is none. */
  abstract firstQueued(
    priority: Priority,
    models: readonly string[],
  ): Promise<{ readonly id: string; readonly model: string } | null>;
  /** 1 for the next to run, over all models; null when the job is not `queued`. */
  abstract queuePosition(id: string): Promise<number | null>;

  /**
   * Takes a queued job among these models, moves it to `running`, opens its next attempt. Class and model are those of the
   * first job by `sortAt − bonus`; among the clients with jobs of these, the one whose last claim is longest ago is served,
   * its oldest job first. With one client that is the first job itself.
   */
  abstract claimNext(
    models: readonly ClaimableModel[],
    claimer: Claimer,
    now: number,
  ): Promise<(ClaimedJob & { events: readonly JobEvent[] }) | null>;
  /**
   * Makes the claims of a node hold for `leaseMs` from now and returns them all: an attempt that is not among them has lost
   * its claim.
   */
  abstract renewClaims(node: string, leaseMs: number, now: number): Promise<readonly RenewedClaim[]>;
  /** Stores progress in the row (and the attempt's furthest phase and step), and appends the events. */
  abstract recordProgressIfClaimed(
    claim: Claim,
    progress: Progress,
    events: readonly JobEventBody[],
    now: number,
  ): Promise<Recorded>;
  /** Notes where the job's next attempt can go on. `replaced` is the key of the checkpoint it takes the place of. */
  abstract recordCheckpointIfClaimed(
    claim: Claim,
    checkpoint: StoredCheckpoint,
  ): Promise<{ readonly recorded: boolean; readonly replaced: string | null }>;
  /** Notes that the attempt stands on these rungs, and writes an event for each that the job did not stand on before. */
  abstract recordDegradationsIfClaimed(
    claim: Claim,
    degradations: readonly Degradation[],
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
  /**
   * running → scheduled (or queued, when it is not to wait), keeping its place in the order; writes an event for each rung
   * the job did not stand on before. Becomes `cancelled` when a cancel is pending.
   */
  abstract retryIfClaimed(claim: Claim, attempt: AttemptRecord, next: NextTry, now: number): Promise<Recorded>;
  /** running → queued, unharmed: the attempt is kept with outcome `returned` and costs nothing. Becomes `cancelled` when a cancel is pending. */
  abstract returnIfClaimed(claim: Claim, attempt: AttemptRecord, now: number): Promise<Recorded>;

  /**
   * scheduled or queued → cancelled at once; running: notes the request, which the owner carries out.
   * `job` is null when there is no such job.
   */
  abstract requestCancel(id: string, now: number): Promise<{ job: Job | null; events: readonly JobEvent[] }>;
  /** scheduled → queued for those that are due, some hundreds at a time: {@link nextDueAt} tells that there are more. */
  abstract promoteDue(now: number): Promise<readonly JobEvent[]>;
  /** scheduled or queued → expired for those whose `start_by` or `finish_by` has passed, some hundreds at a time. */
  abstract expireDue(now: number): Promise<readonly JobEvent[]>;
  /** Earliest `runAt` or deadline that {@link promoteDue} or {@link expireDue} will act on; null when there is none. */
  abstract nextDueAt(): Promise<number | null>;
  /**
   * running → queued for every job nobody runs any more. The open attempt ends as failed with `failure`; a job whose cancel
   * is pending becomes `cancelled`; one that has spent `maxAttempts` counted attempts becomes `failed`.
   */
  abstract reclaim(which: Abandoned, failure: Failure, maxAttempts: number, now: number): Promise<readonly JobEvent[]>;
  /** Deletes final jobs finished before `before` with their attempts and events, at most `limit`; returns their ids. */
  abstract purge(before: number, limit: number): Promise<readonly string[]>;

  /** Events of a job with a number above `afterSeq`, in order. */
  abstract eventsAfter(id: string, afterSeq: number): Promise<readonly JobEvent[]>;

  /** Closes the store. Safe to call twice. */
  abstract close(): Promise<void>;
}
