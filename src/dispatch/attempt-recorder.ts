import { Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import type { Failure } from '../domain/failure/failure.js';
import { failure } from '../domain/failure/failure.js';
import type { Artifact } from '../domain/job/job.js';
import { isFinal } from '../domain/job/job-state.js';
import { ArtifactStore } from '../jobs/ports/artifact-store.port.js';
import { Clock } from '../jobs/ports/clock.port.js';
import { JobEvents } from '../jobs/ports/job-events.port.js';
import type { AttemptRecord, Recorded } from '../jobs/ports/job-store.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import type { AttemptLog } from './attempt-log.js';
import type { AttemptOutline } from './attempt-outline.js';
import type { CheckpointKeeper } from './checkpoint-keeper.js';
import type { AttemptInFlight } from './in-flight.js';
import type { Sequel } from './next-try.js';
import { NextTries } from './next-try.js';
import type { StagedArtifact, TerminalEvent } from './ports/worker-pool.port.js';
import type { ProgressKeeper } from './progress-keeper.js';
import { untilStored } from './until-stored.js';

/** One attempt on its way, and who keeps its books. */
export interface AttemptRun {
  readonly attempt: AttemptInFlight;
  readonly outline: AttemptOutline;
  readonly history: AttemptLog;
  readonly checkpoints: CheckpointKeeper;
  readonly progress: ProgressKeeper;
  readonly log: Logger;
  /** Aborted when this node can no longer wait for its store. */
  readonly giveUp: AbortSignal;
}

/** How an attempt ended. `misplaced`: no worker ran it, because its own is known to be too small. */
export type AttemptEnd = TerminalEvent | { readonly type: 'misplaced'; readonly failure: Failure };

type Write = () => Promise<Recorded>;

/** Writes what came of an attempt. Goes on trying while the store is not available. */
@Injectable()
export class AttemptRecorder {
  constructor(
    private readonly store: JobStore,
    private readonly artifacts: ArtifactStore,
    private readonly events: JobEvents,
    private readonly nextTries: NextTries,
    private readonly clock: Clock,
  ) {}

  /** Moves pictures and checkpoint in, then writes the outcome and publishes what was written. */
  async record(run: AttemptRun, end: AttemptEnd): Promise<void> {
    const write = await this.prepare(run, end);
    await run.progress.settle();
    const recorded = write === null ? null : await untilStored(write, run.giveUp, run.log);
    if (recorded?.recorded === true) {
      this.events.publish(recorded.events);
      if (becameFinal(recorded)) await run.checkpoints.drop();
      return;
    }
    // Given up while the store was away: a commit may still be on its way, and what it names must be there.
    if (write !== null && recorded === null) return;
    await this.dropWhatNobodyNames(run);
  }

  /**
   * Nothing was written, as far as we were told. The answer to a commit may have been lost, and the write repeated: then the
   * row says that the attempt succeeded and names its pictures. Where the row cannot be read they stay, for nobody or not,
   * until the job is deleted.
   */
  private async dropWhatNobodyNames({ attempt, checkpoints, log }: AttemptRun): Promise<void> {
    const { claim, job } = attempt.claimed;
    const row = await this.store.get(job.id).catch((error: unknown) => {
      log.warn({ err: error }, 'it is not known whether the outcome was stored; what the attempt made stays');
      return undefined;
    });
    if (row === undefined) return;
    if (row?.attempts.find(({ number }) => number === claim.attempt)?.outcome !== 'succeeded') {
      log.warn('the claim was lost; what this attempt made is dropped');
      await this.artifacts.discard({ jobId: job.id, token: claim.token });
      return;
    }
    log.info('the outcome was stored, and the answer lost');
    const events = await this.store.eventsAfter(job.id, 0).catch(() => []);
    this.events.publish(events.filter(({ body }) => body.type === 'final' || body.type === 'state').slice(-2));
    await checkpoints.drop();
  }

  /** What to write; it can be repeated. Null: nothing, the job is no longer ours. */
  private async prepare(run: AttemptRun, end: AttemptEnd): Promise<Write | null> {
    const { attempt, log } = run;
    const { claim } = attempt.claimed;
    const now = this.clock.now();
    switch (end.type) {
      case 'result': {
        // While there is no room for the pictures, a cancel, a deadline and a lost claim still end the attempt.
        const until = AbortSignal.any([run.giveUp, attempt.signal]);
        const artifacts = await untilStored(() => this.adopt(attempt, end.artifacts), until, log);
        if (artifacts === null) return attempt.signal.aborted ? this.stopped(run, now) : null;
        await run.checkpoints.settle(null);
        const { effective } = end;
        this.nextTries.noteFit(attempt, run.outline);
        log.info({ effective }, 'attempt succeeded');
        const record = entry(run, 'succeeded', null, now);
        return () => this.store.completeIfClaimed(claim, record, { artifacts, effective }, now);
      }
      case 'cancelled':
        await run.checkpoints.settle(null);
        return this.stopped(run, now);
      case 'suspended': {
        await run.checkpoints.settle(end.checkpoint);
        log.info({ step: end.checkpoint?.step ?? null }, 'attempt suspended');
        const record = entry(run, 'returned', null, now);
        return () => this.store.returnIfClaimed(claim, record, now);
      }
      case 'misplaced':
        return this.failed(run, end.failure, this.nextTries.elsewhere(attempt, end.failure), now);
      case 'failed': {
        const sequel = await untilStored(
          () => this.nextTries.after(attempt, run.outline, end.failure, now),
          run.giveUp,
          log,
        );
        return sequel === null ? null : this.failed(run, end.failure, sequel, now);
      }
    }
  }

  /** The attempt ended because it was stopped from here. */
  private stopped(run: AttemptRun, now: number): Write | null {
    const { claim } = run.attempt.claimed;
    const reason = run.attempt.stopReason;
    switch (reason) {
      case 'lost':
        return null;
      case null:
      case 'shutdown': {
        const record = entry(run, 'returned', null, now);
        return () => this.store.returnIfClaimed(claim, record, now);
      }
      case 'cancel': {
        const record = entry(run, 'cancelled', null, now);
        return () => this.store.endIfClaimed(claim, record, { state: 'cancelled', failure: null }, now);
      }
      case 'deadline': {
        const { phase } = run.history;
        const why = failure('deadline_exceeded', 'finish_by passed while the job ran', { phase });
        const record = entry(run, 'expired', why, now);
        return () => this.store.endIfClaimed(claim, record, { state: 'expired', failure: why }, now);
      }
    }
  }

  private async failed(run: AttemptRun, why: Failure, sequel: Sequel, now: number): Promise<Write> {
    const { claim } = run.attempt.claimed;
    run.log.warn({ failure: why, sequel }, 'attempt failed');
    switch (sequel.action) {
      case 'return': {
        await run.checkpoints.settle(why.checkpoint ?? null);
        const record = entry(run, 'returned', why, now);
        return () => this.store.returnIfClaimed(claim, record, now);
      }
      case 'retry': {
        const { next } = sequel;
        await run.checkpoints.settle(next.keepCheckpoint ? (why.checkpoint ?? null) : null);
        const outcome = sequel.decision === 'misplaced' ? 'returned' : 'failed';
        const record = entry(run, outcome, why, now);
        return async () => {
          const recorded = await this.store.retryIfClaimed(claim, record, next, now);
          if (recorded.recorded && !next.keepCheckpoint) await run.checkpoints.drop();
          return recorded;
        };
      }
      case 'end': {
        await run.checkpoints.settle(null);
        const end = { state: sequel.state, failure: sequel.failure };
        const record = entry(run, sequel.state, sequel.failure, now);
        return () => this.store.endIfClaimed(claim, record, end, now);
      }
    }
  }

  private async adopt({ claimed }: AttemptInFlight, staged: readonly StagedArtifact[]): Promise<Artifact[]> {
    const { claim, job } = claimed;
    const keys = await this.artifacts.adopt({ jobId: job.id, token: claim.token }, staged);
    return staged.map(({ fileName: _, ...artifact }, position) => ({ ...artifact, key: keys[position] ?? '' }));
  }
}

function entry(
  { history, attempt }: AttemptRun,
  outcome: AttemptRecord['outcome'],
  why: Failure | null,
  now: number,
): AttemptRecord {
  return history.record(outcome, why, attempt.worker.memory, now);
}

/** Also a retry or a return does, when a cancel was pending. */
function becameFinal({ events }: Recorded): boolean {
  return events.some(({ body }) => body.type === 'state' && isFinal(body.state));
}
