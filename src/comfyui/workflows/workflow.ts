import type { ComfyUiFamily } from '../../domain/generation/comfyui-family.js';
import { hasComfyUiWorkflow } from '../../domain/generation/comfyui-family.js';
import type { ComfyUiSampling } from '../../domain/generation/comfyui-sampling.js';
import { comfyUiSampling } from '../../domain/generation/comfyui-sampling.js';
import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { ComfyUiModel } from '../../domain/generation/model-description.js';
import type { PipelineFamily } from '../../domain/generation/pipeline-family.js';
import type { Phase } from '../../domain/job/phase.js';
import { fluxGraph } from './flux.js';
import type { PromptGraph } from './graph.js';
import { sd15Graph } from './sd15.js';
import { sdxlGraph } from './sdxl.js';

/** What makes a graph of a plan: images are sampled one by one, image i by the node `sampler_i`, left by `picture_i`. */
export type Template = (plan: ExecutionPlan, files: ComfyUiModel, sampling: ComfyUiSampling) => PromptGraph;

const TEMPLATES: Readonly<Record<ComfyUiFamily, Template>> = { sd15: sd15Graph, sdxl: sdxlGraph, flux: fluxGraph };

/** A plan in ComfyUI's words. */
export interface Workflow {
  readonly name: string;
  readonly graph: PromptGraph;
  readonly sampling: ComfyUiSampling;
  /** Ids of the nodes that denoise, by image. */
  readonly samplers: readonly string[];
  /** Ids of the nodes that leave the pictures, by image. */
  readonly pictures: readonly string[];
}

/** A plan that no template stands for; the message says what of it. */
export class InexpressiblePlanError extends Error {
  constructor(
    readonly field: string,
    message: string,
  ) {
    super(message);
    this.name = 'InexpressiblePlanError';
  }
}

/** The workflow of a plan. Throws {@link InexpressiblePlanError}. */
export function workflowFor(
  plan: ExecutionPlan,
  { family, comfyui }: { readonly family: PipelineFamily; readonly comfyui: ComfyUiModel },
): Workflow {
  if (!hasComfyUiWorkflow(family))
    throw new InexpressiblePlanError('model', `there is no workflow of the family ${family}`);
  const found = comfyUiSampling(family, plan.scheduler, plan.schedulerOptions);
  if ('problem' in found) throw new InexpressiblePlanError(found.problem.field, found.problem.message);
  return {
    name: family,
    graph: TEMPLATES[family](plan, comfyui, found.sampling),
    sampling: found.sampling,
    samplers: plan.seeds.map((_, index) => `sampler_${index}`),
    pictures: plan.seeds.map((_, index) => `picture_${index}`),
  };
}

/** By node class; every other one prepares. */
const PHASES: Readonly<Record<string, Phase>> = {
  CheckpointLoaderSimple: 'load',
  UNETLoader: 'load',
  DualCLIPLoader: 'load',
  VAELoader: 'load',
  CLIPTextEncode: 'encode',
  ConditioningZeroOut: 'encode',
  FluxGuidance: 'encode',
  KSampler: 'denoise',
  SamplerCustomAdvanced: 'denoise',
  VAEDecode: 'decode',
  VAEDecodeTiled: 'decode',
  PreviewImage: 'decode',
};

/** The phase a node belongs to; null: it is none of the graph. */
export function phaseOf(graph: PromptGraph, node: string): Phase | null {
  const found = Object.hasOwn(graph, node) ? graph[node] : undefined;
  return found === undefined ? null : (PHASES[found.class_type] ?? 'prepare');
}
