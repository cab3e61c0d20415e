/**
 * Pipeline families: architecture groups that share limits and defaults.
 *
 * Limits are what the server accepts, not what fits a card. Defaults are those of the diffusers pipelines' own `__call__`,
 * but for the step count, which is the server's (20 steps of DPM-Solver++ stand in for 50 of the pipelines' default).
 */
export const PIPELINE_FAMILIES = ['sd15', 'sdxl', 'sd3', 'flux', 'other'] as const;
export type PipelineFamily = (typeof PIPELINE_FAMILIES)[number];

export interface GenerationLimits {
  readonly min_width: number;
  readonly max_width: number;
  readonly min_height: number;
  readonly max_height: number;
  /** Width and height are multiples of this. */
  readonly size_multiple: number;
  readonly min_num_inference_steps: number;
  readonly max_num_inference_steps: number;
  readonly min_guidance_scale: number;
  readonly max_guidance_scale: number;
  readonly max_num_images: number;
  /** Characters, each of prompt and negative prompt. Text beyond the encoder's length is cut there, and told. */
  readonly max_prompt_chars: number;
}

export interface GenerationDefaults {
  readonly width: number;
  readonly height: number;
  readonly num_inference_steps: number;
  readonly guidance_scale: number;
  /** Class name; empty: the pipeline's own, whatever it is. */
  readonly scheduler: string;
  readonly scheduler_options: Readonly<Record<string, boolean | number | string>>;
}

interface FamilyProfile {
  readonly limits: GenerationLimits;
  readonly defaults: GenerationDefaults;
  /** Whether noise schedulers of other classes can serve it (flow matching cannot be exchanged). */
  readonly flowMatching: boolean;
  /** Whether pipelines of it take `true_cfg_scale` beside the guidance they were distilled on. */
  readonly trueCfg: boolean;
}

const LIMITS: GenerationLimits = {
  min_width: 64,
  max_width: 2048,
  min_height: 64,
  max_height: 2048,
  size_multiple: 8,
  min_num_inference_steps: 1,
  max_num_inference_steps: 150,
  min_guidance_scale: 0,
  max_guidance_scale: 30,
  max_num_images: 16,
  max_prompt_chars: 10_000,
};

const KARRAS = { scheduler: 'DPMSolverMultistepScheduler', scheduler_options: { use_karras_sigmas: true } } as const;
const FLOW = { scheduler: 'FlowMatchEulerDiscreteScheduler', scheduler_options: {} } as const;

export const FAMILY_PROFILES: Record<PipelineFamily, FamilyProfile> = {
  sd15: {
    limits: LIMITS,
    defaults: { width: 512, height: 512, num_inference_steps: 20, guidance_scale: 7.5, ...KARRAS },
    flowMatching: false,
    trueCfg: false,
  },
  sdxl: {
    limits: LIMITS,
    defaults: { width: 1024, height: 1024, num_inference_steps: 25, guidance_scale: 5, ...KARRAS },
    flowMatching: false,
    trueCfg: false,
  },
  sd3: {
    limits: { ...LIMITS, size_multiple: 16 },
    defaults: { width: 1024, height: 1024, num_inference_steps: 28, guidance_scale: 7, ...FLOW },
    flowMatching: true,
    trueCfg: false,
  },
  flux: {
    limits: { ...LIMITS, size_multiple: 16 },
    defaults: { width: 1024, height: 1024, num_inference_steps: 28, guidance_scale: 3.5, ...FLOW },
    flowMatching: true,
    trueCfg: true,
  },
  other: {
    limits: LIMITS,
    defaults: { width: 512, height: 512, num_inference_steps: 25, guidance_scale: 5, ...KARRAS },
    flowMatching: false,
    trueCfg: true,
  },
};

/**
 * diffusers pipeline classes by family; every other class is `other`. A folder saved from the class of another task holds the
 * same components, and its `model_index.json` names that class.
 */
const CLASSES: Readonly<Record<Exclude<PipelineFamily, 'other'>, readonly string[]>> = {
  sd15: [
    'StableDiffusionPipeline',
    'StableDiffusionImg2ImgPipeline',
    'StableDiffusionInpaintPipeline',
    'StableDiffusionControlNetPipeline',
    'StableDiffusionControlNetImg2ImgPipeline',
    'StableDiffusionControlNetInpaintPipeline',
  ],
  sdxl: [
    'StableDiffusionXLPipeline',
    'StableDiffusionXLImg2ImgPipeline',
    'StableDiffusionXLInpaintPipeline',
    'StableDiffusionXLControlNetPipeline',
    'StableDiffusionXLControlNetImg2ImgPipeline',
    'StableDiffusionXLControlNetInpaintPipeline',
  ],
  sd3: [
    'StableDiffusion3Pipeline',
    'StableDiffusion3Img2ImgPipeline',
    'StableDiffusion3InpaintPipeline',
    'StableDiffusion3ControlNetPipeline',
    'StableDiffusion3ControlNetInpaintingPipeline',
  ],
  flux: [
    'FluxPipeline',
    'FluxImg2ImgPipeline',
    'FluxInpaintPipeline',
    'FluxControlNetPipeline',
    'FluxControlNetImg2ImgPipeline',
    'FluxControlNetInpaintPipeline',
  ],
};
const FAMILY_OF_CLASS: ReadonlyMap<string, PipelineFamily> = new Map(
  PIPELINE_FAMILIES.flatMap((family) =>
    family === 'other' ? [] : CLASSES[family].map((pipelineClass) => [pipelineClass, family] as const),
  ),
);

/** Family of a pipeline class as `model_index.json` names it. */
export function familyOfClass(pipelineClass: string): PipelineFamily {
  return FAMILY_OF_CLASS.get(pipelineClass) ?? 'other';
}

/** Whether a class holds a ControlNet of its own, so that its every call has to be given the picture that one follows. */
export function isControlNetClass(pipelineClass: string): boolean {
  return FAMILY_OF_CLASS.has(pipelineClass) && pipelineClass.includes('ControlNet');
}

/** Whether workers run a class step by step; every other one they run as a whole call. */
export function isSteppedClass(pipelineClass: string): boolean {
  return FAMILY_OF_CLASS.has(pipelineClass) && !isControlNetClass(pipelineClass);
}
