import { Injectable } from '@nestjs/common';

import type { Degradation, RungName } from '../domain/degradation/degradation.js';
import type { Acceptance, LadderTerms } from '../domain/degradation/ladder.js';
import { ladderTerms, LADDER, onRungs } from '../domain/degradation/ladder.js';
import type { Failure } from '../domain/failure/failure.js';
import { failure } from '../domain/failure/failure.js';
import type { AttemptPlacement, ExecutionPlan } from '../domain/generation/execution-plan.js';
import { missingAddOn, planFor } from '../domain/generation/execution-plan.js';
import { inexpressibleInComfyUi } from '../domain/generation/comfyui-request.js';
import type { GenerationRequest } from '../domain/generation/generation-request.js';
import type { ModelDescription } from '../domain/generation/model-description.js';
import type { StoredCheckpoint } from '../domain/job/job.js';
import type { ModelFootprint } from '../domain/placement/footprint.js';
import { rungsAhead } from '../domain/placement/plan-ahead.js';
import { forwardBytes } from '../domain/placement/predict.js';
import type { Reservation } from '../domain/placement/reservation.js';
import { canRun, isServedBy } from '../domain/placement/served-by.js';
import { Clock } from '../jobs/ports/clock.port.js';
import type { ClaimedJob } from '../jobs/ports/job-store.port.js';
import { ModelCatalog } from '../jobs/ports/model-catalog.port.js';
import { Footprints } from './footprints.js';
import type { ReadyWorker } from './ports/worker-pool.port.js';

/** What is decided about an attempt before it has files: rungs, room, where it goes on. */
export interface PlannedAttempt {
  readonly model: ModelDescription;
  readonly terms: LadderTerms;
  readonly acceptance: Acceptance;
  readonly footprint: ModelFootprint | null;
  /** Rungs it stands on, those of earlier attempts first. */
  readonly degradations: readonly Degradation[];
  /** Whether some of them are new: the plan would not have fitted. */
  readonly foresaw: boolean;
  /** False: it is not expected to fit on any rung the request accepts. */
  readonly fits: boolean;
  /** Where it goes on; null: at the beginning. */
  readonly checkpoint: StoredCheckpoint | null;
  /** On its rungs, without paths: to predict from. */
  readonly plan: ExecutionPlan;
  readonly reservation: Reservation;
}

/** An attempt that cannot be planned here, such as one whose model is no longer served. */
export interface UnplannedAttempt {
  readonly refusal: Failure;
  /** Null: it is not served any more. */
  readonly model: ModelDescription | null;
  /** Others than this worker could run it. */
  readonly isMisplaced: boolean;
  readonly degradations: readonly Degradation[];
  readonly reservation: Reservation;
}

export type AttemptOutline = PlannedAttempt | UnplannedAttempt;

const NO_PATHS: AttemptPlacement = {
  stagingDir: '',
  solo: false,
  resumeFrom: null,
  previewIntervalMs: 0,
  checkpointIntervalMs: 0,
  inputPath: () => '',
};

/** Outlines attempts: from the job, what its model is known to take, and what its worker has. */
@Injectable()
export class AttemptOutlines {
  constructor(
    private readonly models: ModelCatalog,
    private readonly footprints: Footprints,
    private readonly clock: Clock,
  ) {}

  /** Never throws: a defect in planning is a failure of the attempt. */
  outline(claimed: ClaimedJob, worker: ReadyWorker): AttemptOutline {
    const { degradations, request } = claimed.job;
    const reservation = { model: request.model, weightsBytes: 0, peakBytes: 0 };
    const model = this.models.find(request.model);
    const refuse = (refusal: Failure, isMisplaced = false) => ({
      ...{ refusal, model, isMisplaced, degradations, reservation },
    });
    if (model === null) return refuse(withdrawn(`the model ${request.model}`));
    const missing = missingAddOn(request, model);
    if (missing !== null) return refuse(withdrawn(`${missing} of the model ${model.id}`));
    if (!canRun(request, model, worker.device)) return refuse(beyond(request, model, worker), true);
    try {
      return this.plan(claimed, model, worker);
    } catch (error) {
      return refuse(failure('internal', error instanceof Error ? error.message : String(error)));
    }
  }

  private plan({ job, claim }: ClaimedJob, model: ModelDescription, worker: ReadyWorker): PlannedAttempt {
    const { degradations, request } = job;
    const terms = ladderTerms(model, worker.device.kind);
    const acceptance = { maxDegradation: request.max_degradation, exact: request.exact };
    const footprint = this.footprints.of(model, worker.device.kind);
    const taken = onRungs(planFor(job, claim.attempt, model, NO_PATHS), rungsOf(degradations), terms);
    const { budgetBytes } = worker;
    const now = this.clock.now();
    const ahead = rungsAhead({ plan: taken, footprint, budgetBytes, acceptance, terms, now });
    const inForce = [...degradations, ...ahead.rungs.map((rung) => this.foreseen(rung, claim.attempt))];
    const plan = onRungs(taken, ahead.rungs, terms);
    const weightsBytes = footprint?.weightsBytes ?? 0;
    const peakBytes = footprint === null ? 0 : forwardBytes(plan, footprint);
    return {
      model,
      terms,
      acceptance,
      footprint,
      degradations: inForce,
      foresaw: ahead.rungs.length > 0,
      fits: ahead.fits,
      checkpoint: usable(job.checkpoint, inForce),
      plan,
      reservation: { model: model.id, weightsBytes, peakBytes },
    };
  }

  private foreseen(name: RungName, attempt: number): Degradation {
    const rung = LADDER.find((known) => known.name === name);
    if (rung === undefined) throw new RangeError(`${name} is no rung of the ladder`);
    return { rung: name, fidelity: rung.fidelity, cause: 'predicted', attempt, at: this.clock.now() };
  }
}

function withdrawn(what: string): Failure {
  return failure('model_unavailable', `${what} is no longer served`);
}

/** It was claimed for a worker that cannot do all it asks for. */
function beyond(request: GenerationRequest, model: ModelDescription, { id, device }: ReadyWorker): Failure {
  const [problem] = isServedBy(model, device) ? inexpressibleInComfyUi(request, model.family) : [];
  if (problem === undefined) return failure('model_unavailable', `${id} does not serve the model ${model.id}`);
  return failure('model_unavailable', `${id} cannot do it: ${problem.message}`, { field: problem.field });
}

export function rungsOf(degradations: readonly Degradation[]): readonly RungName[] {
  return degradations.map(({ rung }) => rung);
}

/** A checkpoint from before the resolution was lowered is one of a picture of another size. */
function usable(checkpoint: StoredCheckpoint | null, degradations: readonly Degradation[]): StoredCheckpoint | null {
  if (checkpoint === null) return null;
  const resized = degradations.some(({ rung, attempt }) => rung === 'lower_resolution' && attempt > checkpoint.attempt);
  return resized ? null : checkpoint;
}
