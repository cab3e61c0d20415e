import type { ExecutionPlan, PlannedInputs, PlannedModel } from '../../domain/generation/execution-plan.js';
import type { OutputFormat } from '../../domain/generation/generation-request.js';
import type { ModelDescription, ModelMemory } from '../../domain/generation/model-description.js';
import * as pb from '../../gen/safelight/worker/v1/worker.pb.js';

/** From our words to the wire's; the way back is mapping.ts. What is absent on the wire is empty, zero or undefined there. */

/** A model to bring onto a device before its first attempt. */
export type LoadableModel = PlannedModel & Pick<ModelDescription, 'pinned' | 'keepAliveMs' | 'memory'>;

const OUTPUT_FORMATS: Record<OutputFormat, pb.OutputFormat> = {
  png: pb.OutputFormat.OUTPUT_FORMAT_PNG,
  webp: pb.OutputFormat.OUTPUT_FORMAT_WEBP,
  jpeg: pb.OutputFormat.OUTPUT_FORMAT_JPEG,
  mp4: pb.OutputFormat.OUTPUT_FORMAT_MP4,
};

const RESIDENCIES: Record<ModelMemory['residency'][string], pb.Residency> = {
  resident: pb.Residency.RESIDENCY_RESIDENT,
  phase: pb.Residency.RESIDENCY_PHASE,
  group_offload: pb.Residency.RESIDENCY_GROUP_OFFLOAD,
};

const TILINGS: Record<NonNullable<ModelMemory['vaeTiling']>, pb.Tiling> = {
  off: pb.Tiling.TILING_UNSPECIFIED,
  tiled: pb.Tiling.TILING_TILED,
  aggressive: pb.Tiling.TILING_AGGRESSIVE,
};

export function planToWire(plan: ExecutionPlan): pb.ExecutionPlan {
  return {
    attemptId: plan.attemptId,
    priority: plan.priorityRank,
    model: modelToWire(plan.model),
    prompt: { text: plan.prompt, negativeText: plan.negativePrompt },
    sampling: {
      numInferenceSteps: plan.numInferenceSteps,
      guidanceScale: plan.guidanceScale,
      seeds: [...plan.seeds],
      width: plan.width,
      height: plan.height,
      scheduler: plan.scheduler,
      schedulerOptions: { ...plan.schedulerOptions },
      trueCfgScale: plan.trueCfgScale ?? 0,
      numFrames: plan.numFrames ?? 0,
    },
    output: {
      stagingDir: plan.stagingDir,
      format: OUTPUT_FORMATS[plan.outputFormat],
      quality: plan.outputQuality ?? 0,
      metadata: { ...plan.fileMetadata },
    },
    batching: { solo: plan.solo, maxImages: plan.maxImages ?? 0, exact: plan.exact },
    previewIntervalMs: plan.previewIntervalMs,
    inputs: inputsToWire(plan.inputs),
    loras: plan.loras.map((lora) => ({ ...lora })),
    memory: memoryToWire(plan.memory),
    checkpointing: { resumeFrom: plan.resumeFrom ?? '', intervalMs: plan.checkpointIntervalMs },
  };
}

export function loadRequest(model: LoadableModel): pb.LoadModelRequest {
  const { pinned, keepAliveMs, memory } = model;
  return {
    model: modelToWire(model),
    pinned,
    // On the wire 0 is no limit; who wants a model gone at once gets the next best.
    keepAliveMs: keepAliveMs === null ? 0 : Math.max(1, keepAliveMs),
    memory: memoryToWire(memory),
    onlyIfLoaded: false,
  };
}

function modelToWire(model: PlannedModel): pb.ModelSpec {
  const { id, source, quantization, compile, channelsLast, fuseProjections } = model;
  return {
    id,
    source,
    dtype: model.dtype ?? '',
    variant: model.variant ?? '',
    config: model.config ?? '',
    quantization:
      quantization === null
        ? undefined
        : {
            backend: quantization.backend,
            options: { ...quantization.options },
            components: [...quantization.components],
          },
    compile,
    channelsLast,
    fuseProjections,
  };
}

function inputsToWire(inputs: PlannedInputs): pb.Inputs {
  const { initImage, maskImage, maskTransparencyPainted, strength, controls, ipAdapter } = inputs;
  return {
    initImage: initImage ?? '',
    maskImage: maskImage ?? '',
    maskTransparencyPainted,
    strength: strength ?? 0,
    controls: controls.map((control) => ({ ...control })),
    ipAdapter: ipAdapter ?? undefined,
  };
}

function memoryToWire({ residency, vaeSlicing, vaeTiling, attentionSlicing }: ModelMemory): pb.MemoryPlan {
  return {
    residency: Object.fromEntries(Object.entries(residency).map(([part, where]) => [part, RESIDENCIES[where]])),
    vaeSlicing: vaeSlicing ?? false,
    vaeTiling: TILINGS[vaeTiling ?? 'off'],
    attentionSlicing: attentionSlicing ?? false,
  };
}
