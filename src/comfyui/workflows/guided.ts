import type { ComfyUiSampling } from '../../domain/generation/comfyui-sampling.js';
import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { ComfyUiModel } from '../../domain/generation/model-description.js';
import type { GraphNode, Link, PromptGraph } from './graph.js';
import { exactInteger, literalText, merged } from './graph.js';
import { loaders, pictureNodes } from './parts.js';

/** Text to image with classifier-free guidance by `KSampler`; `negative` makes the node behind the negative prompt. */
export function guidedGraph(
  plan: ExecutionPlan,
  files: ComfyUiModel,
  { sampler, schedule }: ComfyUiSampling,
  negative: (clip: Link) => GraphNode,
): PromptGraph {
  const { nodes, model, clip, vae } = loaders(files);
  const { width, height, numInferenceSteps: steps } = plan;
  const images = plan.seeds.map((seed, index): PromptGraph => ({
    [`sampler_${index}`]: {
      class_type: 'KSampler',
      inputs: {
        seed: exactInteger(seed),
        steps,
        // diffusers guides above 1 only; below it ComfyUI would draw what the negative prompt says.
        cfg: Math.max(1, plan.guidanceScale),
        sampler_name: sampler,
        scheduler: schedule,
        denoise: 1,
        model,
        positive: ['positive', 0],
        negative: ['negative', 0],
        latent_image: ['latent', 0],
      },
    },
    ...pictureNodes(index, [`sampler_${index}`, 0], vae, plan),
  }));
  return {
    ...nodes,
    positive: { class_type: 'CLIPTextEncode', inputs: { text: literalText(plan.prompt), clip } },
    negative: negative(clip),
    latent: { class_type: 'EmptyLatentImage', inputs: { width, height, batch_size: 1 } },
    ...merged(images),
  };
}
