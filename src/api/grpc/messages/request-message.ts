import type { GenerationRequest as ResolvedRequest } from '../../../domain/generation/generation-request.js';
import type { ImageRef } from '../../../domain/generation/image-ref.js';
import type { GenerationRequest, Image } from '../../../gen/safelight/v1/safelight.pb.js';
import { MaskTransparency } from '../../../gen/safelight/v1/safelight.pb.js';
import { FIDELITY, MASK_TRANSPARENCY, OUTPUT_FORMAT, PRIORITY } from './enums.js';
import { dateOf, durationOf } from './times.js';

/** A request as resolved; of its pictures, what became of them. */
export function requestMessage(request: ResolvedRequest): GenerationRequest {
  return {
    model: request.model,
    prompt: request.prompt,
    negativePrompt: request.negative_prompt,
    width: request.width,
    height: request.height,
    numInferenceSteps: request.num_inference_steps,
    guidanceScale: request.guidance_scale,
    numImages: request.num_images,
    seed: request.seed,
    scheduler: request.scheduler,
    schedulerOptions: { ...request.scheduler_options },
    priority: PRIORITY[request.priority],
    outputFormat: OUTPUT_FORMAT[request.output_format],
    outputQuality: request.output_quality,
    exact: request.exact,
    maxDegradation: FIDELITY[request.max_degradation],
    startBy: dateOf(request.start_by),
    finishBy: dateOf(request.finish_by),
    timeBudget: request.time_budget_ms === null ? undefined : durationOf(request.time_budget_ms),
    metadata: { ...request.metadata },
    initImage: imageMessage(request.init_image),
    maskImage: imageMessage(request.mask_image),
    maskTransparency:
      request.mask_transparency === undefined
        ? MaskTransparency.MASK_TRANSPARENCY_UNSPECIFIED
        : MASK_TRANSPARENCY[request.mask_transparency],
    strength: request.strength,
    controls: (request.controls ?? []).map((control) => ({ ...control, image: imageMessage(control.image) })),
    loras: (request.loras ?? []).map((lora) => ({ ...lora })),
    ipAdapter: request.ip_adapter && { ...request.ip_adapter, image: imageMessage(request.ip_adapter.image) },
    trueCfgScale: request.true_cfg_scale,
    numFrames: request.num_frames,
    webhook: request.webhook ?? undefined,
  };
}

function imageMessage(ref: ImageRef | undefined): Image | undefined {
  if (ref === undefined) return undefined;
  const { sha256, bytes, media_type, width, height } = ref;
  return { source: undefined, sha256, sizeBytes: String(bytes), mediaType: media_type, width, height };
}
