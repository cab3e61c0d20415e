import type { ComfyUiSampling } from '../../domain/generation/comfyui-sampling.js';
import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { ComfyUiModel } from '../../domain/generation/model-description.js';
import type { PromptGraph } from './graph.js';
import { literalText } from './graph.js';
import { guidedGraph } from './guided.js';

/** Stable Diffusion 1.x and 2: one text encoder, an empty negative prompt is encoded like any other. */
export function sd15Graph(plan: ExecutionPlan, files: ComfyUiModel, sampling: ComfyUiSampling): PromptGraph {
  return guidedGraph(plan, files, sampling, (clip) => ({
    class_type: 'CLIPTextEncode',
    inputs: { text: literalText(plan.negativePrompt), clip },
  }));
}
