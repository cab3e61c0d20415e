import type { Degradation } from '../../domain/degradation/degradation.js';
import type { Failure } from '../../domain/failure/failure.js';
import type { Artifact, Effective, Job, Progress, StoredCheckpoint } from '../../domain/job/job.js';
import type { JobEvent, JobEventBody } from '../../domain/job/job-event.js';
import { JOB_STATES, type JobState } from '../../domain/job/job-state.js';
import { PRIORITIES, type Priority, submittedAt } from '../../domain/job/priority.js';
import {
  type Abandoned,
  type AttemptRecord,
  type Claim,
  type ClaimableModel,
  type ClaimedJob,
  type Claimer,
  type DatabaseEngine,
  type Idempotency,
  type InsertResult,
  type JobFilter,
  JobStore,
  type NewJob,
  type NextTry,
  type Recorded,
  type RenewedClaim,
  type SubmissionBound,
  type WaitingClass,
} from '../../jobs/ports/job-store.port.js';
import type { Submission } from './inserted-job.js';
import { asInserted, firstEvent, submissionFrom } from './inserted-job.js';
import { claimFrom, eventFrom, jobsFrom } from './job-row.js';
import { limitChecks, overLimit } from './limit-checks.js';
import type { SqlDialect } from './sql-dialect.js';
import type { Row, SqlRunner, Statement, StatementGroup } from './sql-runner.js';
import { requestCancel } from './statements/cancel-statements.js';
import { claimable, claimNext, renewClaims } from './statements/claim-statements.js';
import { expireDue, NEXT_DUE_AT, promoteDue } from './statements/due-statements.js';
import { eventsAfter, insertFirst } from './statements/event-statements.js';
import { purge, reclaim } from './statements/housekeeping-statements.js';
import { earlierSubmission, insertJob, rememberSubmission, stopIfFull } from './statements/insert-statements.js';
import {
  attemptsOf,
  COUNT_BY_STATE,
  COUNT_WAITING,
  countAhead,
  countFinishedSince,
  firstQueued,
  jobById,
  page,
  queuePosition,
  WAITING_MODELS,
} from './statements/read-statements.js';
import {
  complete,
  end,
  giveBack,
  recordCheckpoint,
  recordDegradations,
  recordProgress,
  retry,
} from './statements/record-statements.js';

/**
 * Claims that are tried when what one would have got was taken by another. A try is two short statements, and it misses only
 * where another had success or has the row in hand: without a pause between them all eight cost some tens of milliseconds.
 */
const CLAIM_TRIES = 8;

export interface SqlJobStoreOptions {
  readonly runner: SqlRunner;
  readonly dialect: SqlDialect;
  readonly isShared: boolean;
}

/** The job store as statements: which ones, and what their rows mean. How they are run is the engine's. */
export class SqlJobStore extends JobStore {
  readonly isShared: boolean;
  private readonly runner: SqlRunner;
  private readonly dialect: SqlDialect;

  constructor({ runner, dialect, isShared }: SqlJobStoreOptions) {
    super();
    this.runner = runner;
    this.dialect = dialect;
    this.isShared = isShared;
  }

  async insert(
    jobs: readonly NewJob[],
    { maxWaiting, client }: SubmissionBound,
    idempotency: Idempotency | null,
  ): Promise<InsertResult> {
    const inserted = jobs.map(asInserted);
    const events = inserted.map(firstEvent);
    const earlier = idempotency === null ? [] : earlierSubmission(idempotency);
    const limits = client === undefined ? [] : limitChecks(client, jobs.length);
    const { rows, stoppedAt } = await this.runner.run([
      ...earlier,
      stopIfFull(jobs.length, maxWaiting),
      ...limits.flatMap(({ group }) => group),
      ...inserted.map(insertJob),
      ...events.map(insertFirst),
      ...(idempotency === null ? [] : rememberSubmission(inserted, idempotency)),
    ]);
    if (stoppedAt === null) return { outcome: 'inserted', jobs: inserted, events };

    const found = rows[stoppedAt] ?? [];
    if (stoppedAt > earlier.length) return overLimit(limits, stoppedAt - earlier.length - 1, found[0]);
    if (idempotency === null || stoppedAt === earlier.length)
      return { outcome: 'queue_full', waiting: found[0]?.waiting as number };
    // Read once more, as of one moment, unless retention has just taken them.
    const submission = await this.findSubmission(idempotency);
    return submission ?? submissionFrom(found, rows[0] ?? [], idempotency.requestHash);
  }

  async findSubmission(idempotency: Idempotency): Promise<Submission | null> {
    const { rows, stoppedAt } = await this.runner.read(earlierSubmission(idempotency));
    return stoppedAt === null ? null : submissionFrom(rows[stoppedAt] ?? [], rows[0] ?? [], idempotency.requestHash);
  }

  async waitingModels(): Promise<readonly string[]> {
    return (await this.rowsOfOne(WAITING_MODELS)).map(({ model }) => model as string);
  }

  async get(id: string): Promise<Job | null> {
    const { rows } = await this.runner.read([jobById(id), attemptsOf(id)]);
    const [jobs = [], attempts = []] = rows;
    return jobsFrom(jobs, attempts)[0] ?? null;
  }

  async list(filter: JobFilter): Promise<readonly Job[]> {
    if (filter.states?.length === 0) return [];
    const { rows } = await this.runner.read(page(filter));
    const [jobs = [], attempts = []] = rows;
    return jobsFrom(jobs, attempts);
  }

  async countByState(): Promise<Readonly<Record<JobState, number>>> {
    const counts = new Map((await this.rowsOfOne(COUNT_BY_STATE)).map(({ state, n }) => [state, n]));
    return Object.fromEntries(JOB_STATES.map((state) => [state, counts.get(state) ?? 0])) as Record<JobState, number>;
  }

  async countWaiting(): Promise<readonly WaitingClass[]> {
    return (await this.rowsOfOne(COUNT_WAITING)).flatMap((row) => {
      const priority = PRIORITIES[row.priority as number];
      if (priority === undefined) return [];
      const oldestAt = submittedAt(priority, row.sort_at as number);
      return [{ state: row.state as WaitingClass['state'], priority, jobs: row.n as number, oldestAt }];
    });
  }

  async engine(): Promise<DatabaseEngine> {
    const { kind, version } = this.dialect;
    const [row] = await this.rowsOfOne({ sql: `SELECT ${version} AS version`, params: [] });
    return { kind, version: row?.version as string };
  }

  async countFinishedSince(since: number): Promise<number> {
    return (await this.rowsOfOne(countFinishedSince(since)))[0]?.n as number;
  }

  async countAhead(sortAt: number): Promise<number> {
    return (await this.rowsOfOne(countAhead(sortAt)))[0]?.n as number;
  }

  async firstQueued(priority: Priority, models: readonly string[]): Promise<{ id: string; model: string } | null> {
    if (models.length === 0) return null;
    const [row] = await this.rowsOfOne(firstQueued(priority, models));
    return row === undefined ? null : { id: row.id as string, model: row.model as string };
  }

  async queuePosition(id: string): Promise<number | null> {
    const [row] = await this.rowsOfOne(queuePosition(id));
    return (row?.position as number | undefined) ?? null;
  }

  async claimNext(
    models: readonly ClaimableModel[],
    claimer: Claimer,
    now: number,
  ): Promise<(ClaimedJob & { events: readonly JobEvent[] }) | null> {
    if (models.length === 0) return null;
    for (let tries = 1; ; tries += 1) {
      const [claimed = [], , state = [], attempts = []] = await this.rowsOf(
        claimNext(models, claimer, now, this.dialect),
      );
      const [job] = jobsFrom(claimed, attempts);
      if (claimed[0] !== undefined && job !== undefined) {
        return { claim: claimFrom(claimed[0]), job, events: state.map(eventFrom) };
      }
      if (!this.isShared || tries === CLAIM_TRIES) return null;
      // Where all that waits is unfit, trying again would find the same.
      if ((await this.rowsOfOne(claimable(models, claimer))).every(({ id }) => id === null)) return null;
    }
  }

  async renewClaims(node: string, leaseMs: number, now: number): Promise<readonly RenewedClaim[]> {
    return (await this.rowsOfOne(renewClaims(node, leaseMs, now, this.dialect))).map((row) => ({
      jobId: row.id as string,
      token: row.lease_token as number,
      cancelRequested: row.cancel_requested_at !== null,
    }));
  }

  recordProgressIfClaimed(
    claim: Claim,
    progress: Progress,
    events: readonly JobEventBody[],
    now: number,
  ): Promise<Recorded> {
    return this.record(recordProgress(claim, progress, events, now));
  }

  async recordCheckpointIfClaimed(
    claim: Claim,
    checkpoint: StoredCheckpoint,
  ): Promise<{ recorded: boolean; replaced: string | null }> {
    const [before = [], written = []] = await this.rowsOf(recordCheckpoint(claim, checkpoint));
    const replaced = before[0]?.checkpoint;
    return {
      recorded: written.length > 0,
      replaced: typeof replaced === 'string' ? (JSON.parse(replaced) as StoredCheckpoint).key : null,
    };
  }

  recordDegradationsIfClaimed(claim: Claim, degradations: readonly Degradation[], now: number): Promise<Recorded> {
    return this.record(recordDegradations(claim, degradations, now));
  }

  completeIfClaimed(
    claim: Claim,
    attempt: AttemptRecord,
    result: { artifacts: readonly Artifact[]; effective: Effective },
    now: number,
  ): Promise<Recorded> {
    return this.record(complete(claim, attempt, result, now));
  }

  endIfClaimed(
    claim: Claim,
    attempt: AttemptRecord,
    ending: { state: 'failed' | 'cancelled' | 'expired'; failure: Failure | null },
    now: number,
  ): Promise<Recorded> {
    return this.record(end(claim, attempt, ending, now));
  }

  retryIfClaimed(claim: Claim, attempt: AttemptRecord, next: NextTry, now: number): Promise<Recorded> {
    return this.record(retry(claim, attempt, next, now));
  }

  returnIfClaimed(claim: Claim, attempt: AttemptRecord, now: number): Promise<Recorded> {
    return this.record(giveBack(claim, attempt, now));
  }

  async requestCancel(id: string, now: number): Promise<{ job: Job | null; events: readonly JobEvent[] }> {
    const [, , state = [], final = [], , jobs = [], attempts = []] = await this.rowsOf(requestCancel(id, now));
    return { job: jobsFrom(jobs, attempts)[0] ?? null, events: [...state, ...final].map(eventFrom) };
  }

  async promoteDue(now: number): Promise<readonly JobEvent[]> {
    return (await this.record(promoteDue(now, this.dialect))).events;
  }

  async expireDue(now: number): Promise<readonly JobEvent[]> {
    return (await this.record(expireDue(now))).events;
  }

  async nextDueAt(): Promise<number | null> {
    const [row] = await this.rowsOfOne(NEXT_DUE_AT);
    return (row?.at as number | null | undefined) ?? null;
  }

  async reclaim(which: Abandoned, failure: Failure, maxAttempts: number, now: number): Promise<readonly JobEvent[]> {
    return (await this.record(reclaim(which, failure, maxAttempts, now, this.dialect))).events;
  }

  async purge(before: number, limit: number): Promise<readonly string[]> {
    return (await this.rowsOfOne(purge(before, limit))).map(({ id }) => id as string);
  }

  async eventsAfter(id: string, afterSeq: number): Promise<readonly JobEvent[]> {
    return (await this.rowsOfOne(eventsAfter(id, afterSeq))).map(eventFrom);
  }

  close(): Promise<void> {
    return this.runner.close();
  }

  /** Runs a group that begins with the guarded write and of which only events return rows after it. */
  private async record(group: StatementGroup): Promise<Recorded> {
    const [guarded = [], ...events] = await this.rowsOf(group);
    return { recorded: guarded.length > 0, events: events.flat().map(eventFrom) };
  }

  private async rowsOfOne(statement: Statement): Promise<readonly Row[]> {
    return (await this.rowsOf([statement]))[0] ?? [];
  }

  private async rowsOf(group: StatementGroup): Promise<readonly (readonly Row[])[]> {
    return (await this.runner.run(group)).rows;
  }
}
