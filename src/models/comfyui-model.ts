import type { ModelEntry } from '../config/model-entry.js';
import type { ComfyUiFamily } from '../domain/generation/comfyui-family.js';
import { hasComfyUiWorkflow } from '../domain/generation/comfyui-family.js';
import { comfyUiSchedulers } from '../domain/generation/comfyui-sampling.js';
import type { ModelDescription } from '../domain/generation/model-description.js';
import { PLAIN_SERVING } from '../domain/generation/model-description.js';
import type { GenerationDefaults, PipelineFamily } from '../domain/generation/pipeline-family.js';
import { FAMILY_PROFILES } from '../domain/generation/pipeline-family.js';
import { UnusableModelError } from './model-folder.js';

/** What a family's pipeline is called in diffusers: what such a model would be here. */
const PIPELINE_CLASSES: Readonly<Record<ComfyUiFamily, string>> = {
  sd15: 'StableDiffusionPipeline',
  sdxl: 'StableDiffusionXLPipeline',
  flux: 'FluxPipeline',
};

/** A model that ComfyUI alone serves: there are no files here to read. Throws {@link UnusableModelError}. */
export function describeComfyUiModel(
  { id, aliases = [], family = null, comfyui = null }: Pick<ModelEntry, 'id'> & Partial<ModelEntry>,
  isDefault: boolean,
): ModelDescription {
  if (family === null || !hasComfyUiWorkflow(family) || comfyui === null)
    throw new UnusableModelError(id, 'has neither a source nor, with its family, a name on a ComfyUI server');
  const { defaults: wanted, ...files } = comfyui;
  const { limits } = FAMILY_PROFILES[family];
  const schedulers = comfyUiSchedulers(family);
  const defaults = defaultsOf(family, wanted);
  for (const side of ['width', 'height'] as const) {
    if (defaults[side] % limits.size_multiple !== 0)
      throw new UnusableModelError(id, `comfyui.defaults.${side} must be a multiple of ${limits.size_multiple}`);
  }
  if (!schedulers.includes(defaults.scheduler))
    throw new UnusableModelError(id, `comfyui.defaults.scheduler must be one of ${schedulers.join(', ')}`);
  return {
    ...PLAIN_SERVING,
    id,
    aliases,
    source: '',
    pipelineClass: PIPELINE_CLASSES[family],
    components: {},
    family,
    dtype: null,
    variant: null,
    isLocal: false,
    comfyui: files,
    isDefault,
    limits,
    defaults,
    schedulers,
    capabilities: ['text_to_image'],
  };
}

/** Options of the family's noise scheduler are no other's. */
function defaultsOf(
  family: PipelineFamily,
  wanted: NonNullable<ModelEntry['comfyui']>['defaults'],
): GenerationDefaults {
  const { defaults } = FAMILY_PROFILES[family];
  const { width, height, numInferenceSteps, guidanceScale, scheduler } = wanted;
  return {
    width: width ?? defaults.width,
    height: height ?? defaults.height,
    num_inference_steps: numInferenceSteps ?? defaults.num_inference_steps,
    guidance_scale: guidanceScale ?? defaults.guidance_scale,
    scheduler: scheduler ?? defaults.scheduler,
    scheduler_options: scheduler === null ? defaults.scheduler_options : {},
  };
}
