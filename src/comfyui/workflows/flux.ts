import type { ComfyUiSampling } from '../../domain/generation/comfyui-sampling.js';
import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { ComfyUiModel } from '../../domain/generation/model-description.js';
import type { Link, PromptGraph } from './graph.js';
import { exactInteger, literalText, merged } from './graph.js';
import { loaders, pictureNodes } from './parts.js';

/** Ends of the shift of FLUX.1-dev's noise schedule: `base_shift` and `max_shift` of its `scheduler_config.json`. */
const SHIFT = { max_shift: 1.15, base_shift: 0.5 } as const;

/**
 * Flux. Guidance is an input of the model; a negative prompt counts only with `true_cfg_scale` above 1, as in diffusers. The
 * schedule `simple` on shifted noise levels is that of diffusers: from 1 to 1/steps in equal steps, then shifted.
 */
export function fluxGraph(plan: ExecutionPlan, files: ComfyUiModel, sampling: ComfyUiSampling): PromptGraph {
  const { nodes, model, clip, vae } = loaders(files);
  const { width, height, numInferenceSteps: steps } = plan;
  const shifted: Link = files.timeShift ? ['shift', 0] : model;
  const images = plan.seeds.map((seed, index): PromptGraph => ({
    [`noise_${index}`]: { class_type: 'RandomNoise', inputs: { noise_seed: exactInteger(seed) } },
    [`sampler_${index}`]: {
      class_type: 'SamplerCustomAdvanced',
      inputs: {
        noise: [`noise_${index}`, 0],
        guider: ['guider', 0],
        sampler: ['stepping', 0],
        sigmas: ['schedule', 0],
        latent_image: ['latent', 0],
      },
    },
    ...pictureNodes(index, [`sampler_${index}`, 0], vae, plan),
  }));
  return {
    ...nodes,
    ...(files.timeShift && {
      shift: { class_type: 'ModelSamplingFlux', inputs: { ...SHIFT, width, height, model } },
    }),
    ...conditions('positive', plan.prompt, plan.guidanceScale, clip),
    ...guider(plan, shifted, clip),
    stepping: { class_type: 'KSamplerSelect', inputs: { sampler_name: sampling.sampler } },
    schedule: {
      class_type: 'BasicScheduler',
      inputs: { scheduler: sampling.schedule, steps, denoise: 1, model: shifted },
    },
    latent: { class_type: 'EmptySD3LatentImage', inputs: { width, height, batch_size: 1 } },
    ...merged(images),
  };
}

function conditions(name: string, text: string, guidance: number, clip: Link): PromptGraph {
  return {
    [`${name}_text`]: { class_type: 'CLIPTextEncode', inputs: { text: literalText(text), clip } },
    [name]: { class_type: 'FluxGuidance', inputs: { guidance, conditioning: [`${name}_text`, 0] } },
  };
}

function guider(plan: ExecutionPlan, model: Link, clip: Link): PromptGraph {
  const { trueCfgScale: cfg, negativePrompt, guidanceScale } = plan;
  if (cfg === null || cfg <= 1)
    return { guider: { class_type: 'BasicGuider', inputs: { model, conditioning: ['positive', 0] } } };
  return {
    ...conditions('negative', negativePrompt, guidanceScale, clip),
    guider: {
      class_type: 'CFGGuider',
      inputs: { cfg, model, positive: ['positive', 0], negative: ['negative', 0] },
    },
  };
}
