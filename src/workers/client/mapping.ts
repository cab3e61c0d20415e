import type { Checkpoint, Failure } from '../../domain/failure/failure.js';
import type { FailureKind } from '../../domain/failure/failure-kind.js';
import type { Effective } from '../../domain/job/job.js';
import type { Phase, PhaseTiming } from '../../domain/job/phase.js';
import type { Device } from '../../domain/placement/device.js';
import type { ModelFootprint, PhaseFootprint } from '../../domain/placement/footprint.js';
import type { WorkerMemory } from '../../domain/placement/worker-description.js';
import type { AttemptEvent, StagedArtifact } from '../../dispatch/ports/worker-pool.port.js';
import * as pb from '../../gen/safelight/worker/v1/worker.pb.js';

/** From the wire's words to ours; the way there is plan-to-wire.ts, and nobody else knows both. */

const PHASES: Partial<Record<pb.Phase, Phase>> = {
  [pb.Phase.PHASE_LOAD]: 'load',
  [pb.Phase.PHASE_ENCODE]: 'encode',
  [pb.Phase.PHASE_PREPARE]: 'prepare',
  [pb.Phase.PHASE_DENOISE]: 'denoise',
  [pb.Phase.PHASE_DECODE]: 'decode',
  [pb.Phase.PHASE_VALIDATE]: 'validate',
  [pb.Phase.PHASE_SAVE]: 'save',
};

const FAILURE_KINDS: Partial<Record<pb.FailureKind, FailureKind>> = {
  [pb.FailureKind.FAILURE_KIND_DEVICE_OUT_OF_MEMORY]: 'device_out_of_memory',
  [pb.FailureKind.FAILURE_KIND_DEVICE_FATAL]: 'device_fatal',
  [pb.FailureKind.FAILURE_KIND_MODEL_UNAVAILABLE]: 'model_unavailable',
  [pb.FailureKind.FAILURE_KIND_INVALID_REQUEST]: 'invalid_request',
  [pb.FailureKind.FAILURE_KIND_REJECTED_OUTPUT]: 'rejected_output',
  [pb.FailureKind.FAILURE_KIND_INTERNAL]: 'internal',
  [pb.FailureKind.FAILURE_KIND_WORKER_STOPPING]: 'worker_stopping',
};

const RESIDENCIES: Partial<Record<pb.Residency, string>> = {
  [pb.Residency.RESIDENCY_RESIDENT]: 'resident',
  [pb.Residency.RESIDENCY_PHASE]: 'phase',
  [pb.Residency.RESIDENCY_GROUP_OFFLOAD]: 'group_offload',
};

const TILINGS: Partial<Record<pb.Tiling, string>> = {
  [pb.Tiling.TILING_UNSPECIFIED]: 'off',
  [pb.Tiling.TILING_TILED]: 'tiled',
  [pb.Tiling.TILING_AGGRESSIVE]: 'aggressive',
};

/** `device` is ours: inside the worker a card has another number. Null: an event this build does not know. */
export function eventFromWire(response: pb.RunResponse, device: Device): AttemptEvent | null {
  const { event } = response;
  switch (event?.$case) {
    case 'accepted':
      return { type: 'accepted' };
    case 'phaseStarted': {
      const phase = PHASES[event.value.phase];
      return phase === undefined ? null : { type: 'phase', phase };
    }
    case 'stepFinished':
      return { type: 'step', step: event.value.step, steps: event.value.steps };
    case 'preview':
      return { type: 'preview', step: event.value.step, mediaType: event.value.mediaType, data: event.value.data };
    case 'result':
      return {
        type: 'result',
        artifacts: event.value.artifacts.map(artifactFromWire),
        phases: event.value.phases.flatMap(timingFromWire),
        effective: effectiveFromWire(event.value.effective, device),
      };
    case 'failure':
      return { type: 'failed', failure: failureFromWire(event.value) };
    case 'cancelled':
      return { type: 'cancelled' };
    case 'checkpoint':
      return { type: 'checkpoint', checkpoint: checkpointFromWire(event.value) };
    case 'suspended': {
      const { checkpoint } = event.value;
      return { type: 'suspended', checkpoint: checkpoint === undefined ? null : checkpointFromWire(checkpoint) };
    }
    case undefined:
      return null;
  }
}

function memoryFromWire(memory: pb.MemoryState | undefined): WorkerMemory | null {
  if (memory === undefined) return null;
  return {
    totalBytes: Number(memory.totalBytes),
    freeBytes: Number(memory.freeBytes),
    allocatedBytes: Number(memory.allocatedBytes),
    reservedBytes: Number(memory.reservedBytes),
  };
}

/** What a worker found out about a model on a device. */
export function footprintFromWire(facts: pb.ModelFacts, device: Device): Omit<ModelFootprint, 'overruns'> {
  return {
    model: facts.id,
    deviceKind: device.kind,
    dtype: facts.dtype,
    weightsBytes: Number(facts.weightsBytes),
    ...(facts.weightsSha256 === '' ? {} : { weightsSha256: facts.weightsSha256 }),
    components: Object.fromEntries(facts.components.map(({ name, weightsBytes }) => [name, Number(weightsBytes)])),
    phases: facts.footprints.flatMap(phaseFootprintFromWire),
  };
}

function phaseFootprintFromWire(wire: pb.PhaseFootprint): PhaseFootprint[] {
  const phase = PHASES[wire.phase];
  if (phase === undefined) return [];
  const { bytesPerPixel, measured } = wire;
  return [{ phase, fixedBytes: Number(wire.fixedBytes), bytesPerPixel, measured }];
}

/** How a worker stands. */
export interface WorkerHealth {
  /** It takes nothing more. */
  readonly isDraining: boolean;
  readonly loopCount: number;
  readonly loopAgeMs: number;
  /** Null: it has nothing to do. */
  readonly phase: Phase | null;
  readonly attemptIds: readonly string[];
  readonly models: readonly string[];
  readonly memory: WorkerMemory | null;
}

export function healthFromWire(health: pb.GetHealthResponse): WorkerHealth {
  return {
    isDraining: health.state === pb.WorkerState.WORKER_STATE_DRAINING,
    loopCount: Number(health.loopCount),
    loopAgeMs: durationFromWire(health.loopAge),
    phase: PHASES[health.phase] ?? null,
    attemptIds: health.attemptIds,
    models: health.models,
    memory: memoryFromWire(health.memory),
  };
}

/** Milliseconds. */
function durationFromWire(duration: { seconds: string; nanos: number } | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

function artifactFromWire(artifact: pb.Artifact): StagedArtifact {
  return {
    index: artifact.index,
    fileName: artifact.fileName,
    mediaType: artifact.mediaType,
    width: artifact.width,
    height: artifact.height,
    bytes: Number(artifact.sizeBytes),
    sha256: artifact.sha256,
    seed: artifact.seed,
  };
}

function timingFromWire(timing: pb.PhaseTiming): PhaseTiming[] {
  const name = PHASES[timing.phase];
  if (name === undefined) return [];
  return [
    {
      name,
      startedAt: Number(timing.startedAtMs),
      finishedAt: Number(timing.finishedAtMs),
      fromStep: null,
      toStep: null,
      peakMemoryBytes: Number(timing.peakMemoryBytes) || null,
    },
  ];
}

function effectiveFromWire(effective: pb.Effective | undefined, device: Device): Effective {
  if (effective === undefined) return {};
  return {
    num_inference_steps: effective.numInferenceSteps,
    guidance_scale: effective.guidanceScale,
    width: effective.width,
    height: effective.height,
    scheduler: effective.scheduler,
    scheduler_options: effective.schedulerOptions ?? {},
    dtype: effective.dtype,
    device: device.id,
    max_batch_images: effective.maxBatchImages,
    weights_sha256: effective.weightsSha256,
    pipeline_class: effective.pipelineClass,
    runner: effective.runner,
    exact_rows: effective.exactRows,
    memory: effectiveMemory(effective.memory),
    resumed_at_step: effective.resumedAtStep,
    decoded_in_float32: effective.decodedInFloat32,
    versions: effective.versions,
  };
}

/** In the words of the API; null: the worker told of none. */
function effectiveMemory(memory: pb.MemoryPlan | undefined): Record<string, unknown> | null {
  if (memory === undefined) return null;
  const residency = Object.entries(memory.residency).flatMap(([part, where]) => {
    const word = RESIDENCIES[where];
    return word === undefined ? [] : [[part, word] as const];
  });
  return {
    residency: Object.fromEntries(residency),
    vae_slicing: memory.vaeSlicing,
    vae_tiling: TILINGS[memory.vaeTiling] ?? 'off',
    attention_slicing: memory.attentionSlicing,
  };
}

function failureFromWire(wire: pb.Failure): Failure {
  return {
    kind: FAILURE_KINDS[wire.kind] ?? 'internal',
    phase: PHASES[wire.phase] ?? null,
    step: wire.step,
    message: wire.message,
    ...(wire.detail === '' ? {} : { detail: wire.detail }),
    ...(wire.field === '' ? {} : { field: wire.field }),
    ...(wire.requestedBytes === '0' ? {} : { requestedBytes: Number(wire.requestedBytes) }),
    ...(wire.freeBytes === '0' ? {} : { freeBytes: Number(wire.freeBytes) }),
    ...(wire.checkpoint === undefined ? {} : { checkpoint: checkpointFromWire(wire.checkpoint) }),
  };
}

function checkpointFromWire({ fileName, step, sizeBytes }: pb.Checkpoint): Checkpoint {
  return { fileName, step, bytes: Number(sizeBytes) };
}
