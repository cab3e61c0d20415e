import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import { RetryConfig } from '../config/retry.config.js';
import { WorkersConfig } from '../config/workers.config.js';
import type { Decision } from '../domain/failure/decide-next.js';
import { decideNext } from '../domain/failure/decide-next.js';
import type { Failure } from '../domain/failure/failure.js';
import { failure } from '../domain/failure/failure.js';
import { missingAddOn, planFor } from '../domain/generation/execution-plan.js';
import type { Artifact } from '../domain/job/job.js';
import { CancelRequests } from '../jobs/cancel/cancel-requests.js';
import { ArtifactStore } from '../jobs/ports/artifact-store.port.js';
import { Clock } from '../jobs/ports/clock.port.js';
import { JobEvents } from '../jobs/ports/job-events.port.js';
import type { ClaimedJob, Recorded } from '../jobs/ports/job-store.port.js';
import { countedAttempts, JobStore } from '../jobs/ports/job-store.port.js';
import { ModelCatalog } from '../jobs/ports/model-catalog.port.js';
import { LOG } from '../telemetry/log.js';
import { AttemptLog } from './attempt-log.js';
import type { ReadyWorker, StagedArtifact, TerminalEvent } from './ports/worker-pool.port.js';
import { isTerminal } from './ports/worker-pool.port.js';
import { untilStored } from './until-stored.js';

/** Longest time setTimeout can wait, in milliseconds. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Why an attempt is being stopped from here. */
type StopReason = 'cancel' | 'deadline' | 'shutdown';

interface RunContext {
  /** Aborted, with the reason, when the attempt is to stop. */
  readonly stop: AbortSignal;
  /** Aborted when the node gives its jobs back. */
  readonly shutdown: AbortSignal;
  readonly log: Logger;
}

/**
 * Runs one attempt of a claimed job on a worker and records what came of it. Never throws: whatever happens, the job is in
 * a state another attempt can start from, or final. A crash of this process leaves the row `running`; boot returns it.
 */
@Injectable()
export class AttemptRunner {
  constructor(
    private readonly store: JobStore,
    private readonly artifacts: ArtifactStore,
    private readonly events: JobEvents,
    private readonly cancelRequests: CancelRequests,
    private readonly models: ModelCatalog,
    private readonly clock: Clock,
    private readonly retry: RetryConfig,
    private readonly workers: WorkersConfig,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** `shutdown` gives the job back unharmed. */
  async run(claimed: ClaimedJob, worker: ReadyWorker, shutdown: AbortSignal): Promise<void> {
    const { claim, job } = claimed;
    const log = this.log.child({ job: job.id, attempt: claim.attempt, worker: worker.id });
    const attempt = new AttemptLog(
      claim.attempt,
      { worker: worker.id, device: worker.device.id },
      job.request.num_inference_steps,
    );
    const stop = new AbortController();
    const stopFor = (reason: StopReason) => stop.abort(reason);
    const onShutdown = () => stopFor('shutdown');
    shutdown.addEventListener('abort', onShutdown);
    if (shutdown.aborted) onShutdown();
    const run: RunContext = { stop: stop.signal, shutdown, log };
    const forget = this.cancelRequests.onRequest(job.id, () => stopFor('cancel'));
    const forgetDeadline = this.atDeadline(job.request.finish_by, () => stopFor('deadline'));
    try {
      if (await this.wasCancelled(job.id, log)) stopFor('cancel');
      const terminal = await this.follow(claimed, worker, attempt, run);
      await this.record(claimed, attempt, terminal, run);
    } catch (error) {
      // Everything expected arrives as an event; this is a defect of ours, or a disk that takes no staged or adopted file.
      log.error({ err: error }, 'attempt broke off');
      const broken = failure('internal', error instanceof Error ? error.message : String(error), {
        phase: attempt.phase,
      });
      await this.record(claimed, attempt, { type: 'failed', failure: broken }, run);
    } finally {
      shutdown.removeEventListener('abort', onShutdown);
      forget();
      forgetDeadline();
      await this.artifacts.dropStaging({ jobId: job.id, token: claim.token }).catch((error: unknown) => {
        log.warn({ err: error }, 'staging folder stays until the next start');
      });
    }
  }

  /** Plays the attempt to its terminal event, storing and publishing progress on the way. */
  private async follow(
    claimed: ClaimedJob,
    worker: ReadyWorker,
    attempt: AttemptLog,
    { stop: signal, log }: RunContext,
  ): Promise<TerminalEvent> {
    const { claim, job } = claimed;
    const model = this.models.find(job.request.model);
    if (model === null) {
      const message = `the model ${job.request.model} is no longer served`;
      return { type: 'failed', failure: failure('model_unavailable', message) };
    }
    const missing = missingAddOn(job.request, model);
    if (missing !== null) {
      const message = `${missing} of the model ${model.id} is no longer served`;
      return { type: 'failed', failure: failure('model_unavailable', message) };
    }
    if (signal.aborted) return { type: 'cancelled' };
    const stagingDir = await this.artifacts.openStaging({ jobId: job.id, token: claim.token });
    await this.note(log, async () => {
      await this.store.recordPlacementIfClaimed(claim, { worker: worker.id, device: worker.device.id });
    });
    const previewIntervalMs = this.events.previewsWatched(job.id) ? this.workers.previewIntervalMs : 0;
    const plan = planFor(job, claim.attempt, model, {
      stagingDir,
      previewIntervalMs,
      checkpointIntervalMs: this.workers.checkpointIntervalMs,
      inputPath: (image) => this.artifacts.inputPath(job.id, image),
    });
    const unwatch = this.events.onPreviewsWatched(job.id, (watched) => {
      void worker.setPreviews(plan.attemptId, watched ? this.workers.previewIntervalMs : 0);
    });
    try {
      for await (const event of worker.run(plan, signal)) {
        if (event.type === 'preview') {
          this.events.publishPreview({ jobId: job.id, step: event.step, mediaType: event.mediaType, data: event.data });
          continue;
        }
        if (event.type === 'checkpoint') {
          log.debug({ checkpoint: event.checkpoint }, 'checkpoint left');
          continue;
        }
        const now = this.clock.now();
        const note = attempt.note(event, now);
        if (note !== null) {
          await this.note(log, async () => {
            const recorded = await this.store.recordProgressIfClaimed(claim, note.progress, note.events, now);
            this.events.publish(recorded.events);
          });
        }
        if (isTerminal(event)) return event;
      }
    } finally {
      unwatch();
    }
    return { type: 'failed', failure: failure('internal', 'the worker ended the attempt without saying how it went') };
  }

  /** A cancel that came between claim and registration is in the row. */
  private async wasCancelled(jobId: string, log: Logger): Promise<boolean> {
    let cancelled = false;
    await this.note(log, async () => {
      cancelled = ((await this.store.get(jobId))?.cancelRequestedAt ?? null) !== null;
    });
    return cancelled;
  }

  /** What is told on the way is worth less than the picture: an attempt goes on when it cannot be stored. */
  private async note(log: Logger, store: () => Promise<void>): Promise<void> {
    try {
      await store();
    } catch (error) {
      log.warn({ err: error }, 'progress could not be stored');
    }
  }

  /** Writes the outcome and publishes what was written. Goes on trying while the store is not available. */
  private async record(
    claimed: ClaimedJob,
    attempt: AttemptLog,
    terminal: TerminalEvent,
    run: RunContext,
  ): Promise<void> {
    const write = await this.outcome(claimed, attempt, terminal, run);
    const recorded = await untilStored(write, run.shutdown, run.log);
    if (recorded?.recorded === true) {
      this.events.publish(recorded.events);
      return;
    }
    run.log.warn('the claim was lost; what this attempt made is dropped');
    await this.artifacts.discard({ jobId: claimed.job.id, token: claimed.claim.token });
  }

  /** What to write about an attempt; pictures are moved in before, and the returned write can be repeated. */
  private async outcome(
    claimed: ClaimedJob,
    attempt: AttemptLog,
    terminal: TerminalEvent,
    run: RunContext,
  ): Promise<() => Promise<Recorded>> {
    const { claim } = claimed;
    const now = this.clock.now();
    switch (terminal.type) {
      case 'result': {
        const artifacts = await this.adopt(claimed, terminal.artifacts);
        run.log.info({ effective: terminal.effective }, 'attempt succeeded');
        const { effective } = terminal;
        return () =>
          this.store.completeIfClaimed(claim, attempt.record('succeeded', null, now), { artifacts, effective }, now);
      }
      case 'cancelled': {
        const reason = run.stop.reason as StopReason | undefined;
        if (reason === undefined || reason === 'shutdown') {
          return () => this.store.returnIfClaimed(claim, attempt.record('returned', null, now), now);
        }
        const late = reason === 'deadline';
        const why = late
          ? failure('deadline_exceeded', 'finish_by passed while the job ran', { phase: attempt.phase })
          : null;
        const state = late ? 'expired' : 'cancelled';
        return () => this.store.endIfClaimed(claim, attempt.record(state, why, now), { state, failure: why }, now);
      }
      case 'suspended':
        return () => this.store.returnIfClaimed(claim, attempt.record('returned', null, now), now);
      case 'failed':
        return () => this.writeFailure(claimed, attempt, terminal.failure, now, run.log);
    }
  }

  private async writeFailure(
    claimed: ClaimedJob,
    attempt: AttemptLog,
    why: Failure,
    now: number,
    log: Logger,
  ): Promise<Recorded> {
    const { claim } = claimed;
    const decision = await this.decide(claimed, why, now);
    log.warn({ failure: why, decision }, 'attempt failed');
    switch (decision.action) {
      case 'return':
        return this.store.returnIfClaimed(claim, attempt.record('returned', why, now), now);
      case 'retry': {
        const retry = { runAt: now + decision.delayMs, failure: why };
        return this.store.retryIfClaimed(claim, attempt.record('failed', why, now), retry, now);
      }
      case 'end': {
        const end = { state: decision.state, failure: why };
        return this.store.endIfClaimed(claim, attempt.record(decision.state, why, now), end, now);
      }
    }
  }

  private async adopt({ claim, job }: ClaimedJob, staged: readonly StagedArtifact[]): Promise<Artifact[]> {
    const keys = await this.artifacts.adopt({ jobId: job.id, token: claim.token }, staged);
    return staged.map(({ fileName: _, ...artifact }, position) => ({ ...artifact, key: keys[position] ?? '' }));
  }

  private async decide({ job }: ClaimedJob, why: Failure, now: number): Promise<Decision> {
    const current = (await this.store.get(job.id)) ?? job;
    const attempt = {
      failure: why,
      countedAttempts: countedAttempts(current.attempts),
      cancelRequested: current.cancelRequestedAt !== null,
      msToDeadline: job.request.finish_by === null ? null : job.request.finish_by - now,
    };
    return decideNext(attempt, { baseMs: this.retry.backoffBaseMs, capMs: this.retry.backoffCapMs }, Math.random());
  }

  /** Calls back at the deadline; returns how to forget it. */
  private atDeadline(finishBy: number | null, expire: () => void): () => void {
    let timer: NodeJS.Timeout | undefined;
    const arm = (at: number) => {
      const ms = Math.max(0, at - this.clock.now());
      // setTimeout takes what is beyond 2^31-1 ms (25 days) for 1 ms.
      timer = setTimeout(() => (ms > LONGEST_TIMER_MS ? arm(at) : expire()), Math.min(ms, LONGEST_TIMER_MS));
    };
    if (finishBy !== null) arm(finishBy);
    return () => clearTimeout(timer);
  }
}
