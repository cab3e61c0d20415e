import type { ComfyUiSampling } from '../../domain/generation/comfyui-sampling.js';
import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { ComfyUiModel } from '../../domain/generation/model-description.js';
import type { GraphNode, PromptGraph } from './graph.js';
import { literalText } from './graph.js';
import { guidedGraph } from './guided.js';

/**
 * Stable Diffusion XL. Where there is no negative prompt, its place is taken by zeros, as SDXL's own pipelines in diffusers do
 * (`force_zeros_for_empty_prompt`). Size and crop are those of the latents: ComfyUI fills them in.
 */
export function sdxlGraph(plan: ExecutionPlan, files: ComfyUiModel, sampling: ComfyUiSampling): PromptGraph {
  return guidedGraph(plan, files, sampling, (clip): GraphNode => {
    if (plan.negativePrompt === '')
      return { class_type: 'ConditioningZeroOut', inputs: { conditioning: ['positive', 0] } };
    return { class_type: 'CLIPTextEncode', inputs: { text: literalText(plan.negativePrompt), clip } };
  });
}
