import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import { LogConfig } from '../config/log.config.js';
import { WorkersConfig } from '../config/workers.config.js';
import { onRungs } from '../domain/degradation/ladder.js';
import type { Failure } from '../domain/failure/failure.js';
import { failure } from '../domain/failure/failure.js';
import type { ExecutionPlan } from '../domain/generation/execution-plan.js';
import { planFor } from '../domain/generation/execution-plan.js';
import type { GenerationRequest } from '../domain/generation/generation-request.js';
import type { ImageRef } from '../domain/generation/image-ref.js';
import type { Job } from '../domain/job/job.js';
import { peakBytes } from '../domain/placement/predict.js';
import { ArtifactStore } from '../jobs/ports/artifact-store.port.js';
import { Clock } from '../jobs/ports/clock.port.js';
import { JobEvents } from '../jobs/ports/job-events.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import type { AttemptFields } from '../telemetry/attempt-fields.js';
import { hidingPrompts } from '../telemetry/hide-prompts.js';
import { LOG } from '../telemetry/log.js';
import { Occurrences } from '../telemetry/occurrences.js';
import { AttemptLog } from './attempt-log.js';
import type { AttemptOutline, PlannedAttempt, UnplannedAttempt } from './attempt-outline.js';
import { rungsOf } from './attempt-outline.js';
import type { AttemptEnd, AttemptRun } from './attempt-recorder.js';
import { AttemptRecorder } from './attempt-recorder.js';
import { CheckpointKeeper } from './checkpoint-keeper.js';
import type { AttemptInFlight } from './in-flight.js';
import { OtherWorkers } from './other-workers.js';
import type { AttemptEvent, TerminalEvent } from './ports/worker-pool.port.js';
import { isTerminal } from './ports/worker-pool.port.js';
import { ProgressKeeper } from './progress-keeper.js';
import { untilStored } from './until-stored.js';

/**
 * Runs one attempt of a claimed job on a worker and has its outcome recorded. Never throws: whatever happens, the job is in
 * a state another attempt can start from, or final. A crash of this process leaves the row `running`; it is reclaimed.
 */
@Injectable()
export class AttemptRunner {
  constructor(
    private readonly store: JobStore,
    private readonly artifacts: ArtifactStore,
    private readonly events: JobEvents,
    private readonly recorder: AttemptRecorder,
    private readonly otherWorkers: OtherWorkers,
    private readonly clock: Clock,
    private readonly workers: WorkersConfig,
    private readonly occurrences: Occurrences,
    private readonly logConfig: LogConfig,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** `giveUp`: this node can no longer wait for a store that is unavailable. */
  async run(attempt: AttemptInFlight, outline: AttemptOutline, giveUp: AbortSignal): Promise<void> {
    const run = this.open(attempt, outline, giveUp);
    const { claim, job } = attempt.claimed;
    try {
      await this.recorder.record(run, await this.play(run));
    } catch (error) {
      // Everything expected arrives as an event; this is a defect of ours, or a disk that takes no staged or adopted file.
      run.log.error({ err: error }, 'attempt broke off');
      const message = error instanceof Error ? error.message : String(error);
      const broken = failure('internal', message, { phase: run.history.phase });
      await this.recorder.record(run, { type: 'failed', failure: broken });
    } finally {
      await this.artifacts.dropStaging({ jobId: job.id, token: claim.token }).catch((error: unknown) => {
        run.log.warn({ err: error }, 'staging folder stays until the next start');
      });
    }
  }

  private open(attempt: AttemptInFlight, outline: AttemptOutline, giveUp: AbortSignal): AttemptRun {
    const { claim, job } = attempt.claimed;
    const { id: worker, device } = attempt.worker;
    const log = this.logOf(job, { job: job.id, attempt: claim.attempt, worker });
    const history = new AttemptLog({
      attempt: claim.attempt,
      worker,
      device: device.id,
      steps: job.request.num_inference_steps,
      degradations: outline.degradations,
    });
    const checkpoints = new CheckpointKeeper(attempt.claimed, this.store, this.artifacts, this.occurrences, log);
    const progress = new ProgressKeeper(attempt, this.store, this.events, this.clock, log);
    return { attempt, outline, history, checkpoints, progress, log, giveUp };
  }

  /** Workers and libraries quote what they are given: what they say of the attempt may hold its prompt. */
  private logOf({ request }: Job, fields: AttemptFields & { readonly worker: string }): Logger {
    if (this.logConfig.prompts === 'shown') return this.log.child(fields);
    return hidingPrompts(this.log, fields, request);
  }

  /** Everything up to the end of the attempt. */
  private async play(run: AttemptRun): Promise<AttemptEnd> {
    const { attempt, outline } = run;
    if ('refusal' in outline) return refused(attempt, outline);
    if (attempt.signal.aborted) return { type: 'cancelled' };
    if (!outline.fits) {
      const end = await this.misfit(run, outline);
      if (end !== null) return end;
    }
    // Waiting for files that cannot be had now ends when the attempt is to stop.
    const stopOrGiveUp = AbortSignal.any([run.giveUp, attempt.signal]);
    // All at once: each of them may be a round trip, and a fast job has few to spare.
    const [plan] = await Promise.all([
      untilStored(() => this.plan(run, outline), stopOrGiveUp, run.log),
      this.stopIfCancelled(run),
      outline.foresaw ? this.tellOfRungs(run, outline) : null,
    ]);
    if (plan === null || attempt.signal.aborted) return { type: 'cancelled' };
    return this.follow(run, plan);
  }

  /** No rung makes it fit: it goes to another worker. Where there is none it is tried, for a prediction may be wrong. */
  private async misfit(run: AttemptRun, { plan, model, footprint }: PlannedAttempt): Promise<AttemptEnd | null> {
    const { claimed, worker } = run.attempt;
    const needed = footprint === null ? null : peakBytes(plan, footprint);
    const message = `${plan.width}x${plan.height} of ${plan.model.id} does not fit ${worker.id}`;
    const why = failure('device_out_of_memory', message, {
      ...(needed === null ? {} : { requestedBytes: needed }),
      ...(worker.budgetBytes === null ? {} : { freeBytes: worker.budgetBytes }),
    });
    // Sent away before, and here again because nobody else came.
    if (claimed.job.avoids.includes(worker.qualifiedId)) return null;
    const besides = [...claimed.job.avoids, worker.qualifiedId];
    const others = await untilStored(() => this.otherWorkers.countBesides(besides, model), run.giveUp, run.log);
    return others !== null && others > 0 ? { type: 'misplaced', failure: why } : null;
  }

  private async tellOfRungs(run: AttemptRun, { degradations }: PlannedAttempt): Promise<void> {
    run.log.warn({ rungs: rungsOf(degradations) }, 'the plan would not fit and starts lower');
    const { claim } = run.attempt.claimed;
    const write = () => this.store.recordDegradationsIfClaimed(claim, degradations, this.clock.now());
    const recorded = await untilStored(write, run.giveUp, run.log);
    this.events.publish(recorded?.events ?? []);
  }

  /** The plan with its files in place. */
  private async plan(run: AttemptRun, outline: PlannedAttempt): Promise<ExecutionPlan> {
    const { claim, job } = run.attempt.claimed;
    const files = { jobId: job.id, token: claim.token };
    const stagingDir = await this.artifacts.openStaging(files);
    const inputs = new Map<string, string>();
    for (const image of imagesOf(job.request)) {
      inputs.set(image.sha256, await this.artifacts.inputPath(files, image));
    }
    const resumeFrom =
      outline.checkpoint === null ? null : await this.artifacts.checkpointPath(files, outline.checkpoint.key);
    if (outline.checkpoint !== null && resumeFrom === null)
      run.log.warn({ checkpoint: outline.checkpoint }, 'the checkpoint is gone; the attempt begins at the beginning');
    if (outline.checkpoint !== null && resumeFrom !== null) run.history.resumeAt(outline.checkpoint.step);
    const plan = planFor(job, claim.attempt, outline.model, {
      stagingDir,
      solo: job.solo,
      resumeFrom,
      previewIntervalMs: this.events.previewsWatched(job.id) ? this.workers.previewIntervalMs : 0,
      checkpointIntervalMs: this.workers.checkpointIntervalMs,
      inputPath: (image) => inputs.get(image.sha256) ?? '',
    });
    return onRungs(plan, rungsOf(outline.degradations), outline.terms);
  }

  /** Plays the attempt to its terminal event, storing and publishing progress on the way. */
  private async follow(run: AttemptRun, plan: ExecutionPlan): Promise<TerminalEvent> {
    const { attempt } = run;
    const { worker } = attempt;
    const unwatch = this.events.onPreviewsWatched(attempt.claimed.job.id, (watched) => {
      void worker.setPreviews(plan.attemptId, watched ? this.workers.previewIntervalMs : 0);
    });
    try {
      for await (const event of worker.run(plan, attempt.signal)) {
        this.take(run, event);
        if (isTerminal(event)) return event;
      }
    } finally {
      unwatch();
    }
    return { type: 'failed', failure: brokenOff('the worker ended the attempt without saying how it went') };
  }

  private take(run: AttemptRun, event: AttemptEvent): void {
    if (event.type === 'preview') {
      const { step, mediaType, data } = event;
      this.events.publishPreview({ jobId: run.attempt.claimed.job.id, step, mediaType, data });
      return;
    }
    if (event.type === 'checkpoint') {
      run.checkpoints.offer(event.checkpoint);
      return;
    }
    const note = run.history.note(event, this.clock.now());
    if (note !== null) run.progress.offer(note);
  }

  /** A cancel that came between claim and registration is in the row. */
  private async stopIfCancelled({ attempt, log }: AttemptRun): Promise<void> {
    try {
      const row = await this.store.get(attempt.claimed.job.id);
      if ((row?.cancelRequestedAt ?? null) !== null) attempt.stop('cancel');
    } catch (error) {
      log.warn({ err: error }, 'it is not known whether the job was to be cancelled');
    }
  }
}

/** One that another worker could run goes there; back from there, because nobody came, it fails. */
function refused({ claimed, worker }: AttemptInFlight, { refusal, isMisplaced }: UnplannedAttempt): AttemptEnd {
  const isBack = claimed.job.avoids.includes(worker.qualifiedId);
  return { type: isMisplaced && !isBack ? 'misplaced' : 'failed', failure: refusal };
}

function brokenOff(message: string): Failure {
  return failure('internal', message);
}

function imagesOf({ init_image, mask_image, controls = [], ip_adapter }: GenerationRequest): ImageRef[] {
  const images = [init_image, mask_image, ...controls.map(({ image }) => image), ip_adapter?.image];
  return images.filter((image) => image !== undefined);
}
