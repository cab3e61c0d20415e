import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { ComfyUiModel } from '../../domain/generation/model-description.js';
import type { GraphNode, Link, PromptGraph } from './graph.js';

/** Sides of VAE tiles in pixels, as the worker's settings of the same names have them. */
const TILE_SIDES = { tiled: 512, aggressive: 256 } as const;

export interface LoadedModel {
  readonly nodes: PromptGraph;
  readonly model: Link;
  readonly clip: Link;
  readonly vae: Link;
}

/** Nodes that load a model. */
export function loaders({ checkpoint, unet, clip, vae, weightDtype }: ComfyUiModel): LoadedModel {
  const nodes: Record<string, GraphNode> = {};
  if (vae !== null) nodes['vae'] = { class_type: 'VAELoader', inputs: { vae_name: vae } };
  if (checkpoint !== null) {
    nodes['checkpoint'] = { class_type: 'CheckpointLoaderSimple', inputs: { ckpt_name: checkpoint } };
    return {
      nodes,
      model: ['checkpoint', 0],
      clip: ['checkpoint', 1],
      vae: vae === null ? ['checkpoint', 2] : ['vae', 0],
    };
  }
  const [first = '', second = ''] = clip;
  nodes['unet'] = { class_type: 'UNETLoader', inputs: { unet_name: unet ?? '', weight_dtype: weightDtype } };
  nodes['clip'] = {
    class_type: 'DualCLIPLoader',
    inputs: { clip_name1: first, clip_name2: second, type: 'flux' },
  };
  return { nodes, model: ['unet', 0], clip: ['clip', 0], vae: ['vae', 0] };
}

/** Nodes that turn latents into a file of ComfyUI's temporary folder, which it empties when it starts. */
export function pictureNodes(index: number, samples: Link, vae: Link, { memory }: ExecutionPlan): PromptGraph {
  const tiling = memory.vaeTiling ?? 'off';
  const decode: GraphNode =
    tiling === 'off'
      ? { class_type: 'VAEDecode', inputs: { samples, vae } }
      : {
          class_type: 'VAEDecodeTiled',
          // The last two are for videos, and required all the same.
          inputs: {
            ...{ samples, vae, tile_size: TILE_SIDES[tiling], overlap: 64 },
            ...{ temporal_size: 64, temporal_overlap: 8 },
          },
        };
  return {
    [`decode_${index}`]: decode,
    [`picture_${index}`]: { class_type: 'PreviewImage', inputs: { images: [`decode_${index}`, 0] } },
  };
}
