import { smallPlan } from '../../../test/support/worker-pools.js';
import { plannedModel } from '../../../test/support/worker-pools.js';
import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { ComfyUiModel } from '../../domain/generation/model-description.js';
import type { PipelineFamily } from '../../domain/generation/pipeline-family.js';
import type { PromptGraph } from './graph.js';
import { literalText } from './graph.js';
import { InexpressiblePlanError, phaseOf, workflowFor } from './workflow.js';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const CHECKPOINT: ComfyUiModel = {
  ...{ checkpoint: 'base.safetensors', unet: null, clip: [], vae: null },
  ...{ weightDtype: 'default', timeShift: true },
};
const PARTS: ComfyUiModel = {
  ...{ checkpoint: null, unet: 'flux1-dev.safetensors', clip: ['clip_l.safetensors', 't5xxl.safetensors'] },
  ...{ vae: 'ae.safetensors', weightDtype: 'fp8_e4m3fn', timeShift: true },
};
const FLOW = { scheduler: 'FlowMatchEulerDiscreteScheduler', schedulerOptions: {} };

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'sl-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const plan = (changes: Partial<ExecutionPlan> = {}) => smallPlan(folder, plannedModel('m', ''), changes);

function graphOf(family: PipelineFamily, changes: Partial<ExecutionPlan> = {}, files = CHECKPOINT): PromptGraph {
  return workflowFor(plan(changes), { family, comfyui: files }).graph;
}

/** Every link leads to a node of the graph. */
function deadLinks(graph: PromptGraph): string[] {
  return Object.entries(graph).flatMap(([id, { inputs }]) =>
    Object.values(inputs).flatMap((value) =>
      Array.isArray(value) && !(value[0] in graph) ? [`${id} → ${value[0]}`] : [],
    ),
  );
}

describe('the workflow of a plan', () => {
  it('samples each image with its own seed, written digit by digit', () => {
    const graph = graphOf('sd15', { seeds: ['9223372036854775806', '9223372036854775807'] });
    expect(JSON.stringify(graph['sampler_0'])).toContain('"seed":9223372036854775806,');
    expect(JSON.stringify(graph['sampler_1'])).toContain('"seed":9223372036854775807,');
    expect(graph['latent']?.inputs).toMatchObject({ width: 64, height: 64, batch_size: 1 });
    expect(graph['picture_1']).toEqual({ class_type: 'PreviewImage', inputs: { images: ['decode_1', 0] } });
  });

  it('gives KSampler steps, guidance, sampler and schedule', () => {
    const { inputs } = graphOf('sd15')['sampler_0']!;
    expect(inputs).toMatchObject({ steps: 4, cfg: 5, sampler_name: 'dpmpp_2m', scheduler: 'karras', denoise: 1 });
    expect(inputs).toMatchObject({ positive: ['positive', 0], negative: ['negative', 0], model: ['checkpoint', 0] });
  });

  it('draws without guidance what diffusers would, not what the negative prompt says', () => {
    expect(graphOf('sd15', { guidanceScale: 0 })['sampler_0']!.inputs).toMatchObject({ cfg: 1 });
  });

  it('takes parentheses for what they are', () => {
    expect(literalText('a (very) \\big dog')).toBe('a \\(very\\) \\big dog');
    expect(graphOf('sd15', { prompt: '(a:1.5)' })['positive']?.inputs).toMatchObject({ text: '\\(a:1.5\\)' });
  });

  it('puts zeros in the place of an empty negative prompt of SDXL, and encodes any other', () => {
    expect(graphOf('sdxl')['negative']?.class_type).toBe('ConditioningZeroOut');
    expect(graphOf('sd15')['negative']?.class_type).toBe('CLIPTextEncode');
    expect(graphOf('sdxl', { negativePrompt: 'grey' })['negative']).toMatchObject({
      class_type: 'CLIPTextEncode',
      inputs: { text: 'grey', clip: ['checkpoint', 1] },
    });
  });

  it('takes the VAE that is named in place of that of the checkpoint', () => {
    expect(graphOf('sdxl')['decode_0']?.inputs).toMatchObject({ vae: ['checkpoint', 2] });
    const graph = graphOf('sdxl', {}, { ...CHECKPOINT, vae: 'fix.safetensors' });
    expect(graph['vae']).toEqual({ class_type: 'VAELoader', inputs: { vae_name: 'fix.safetensors' } });
    expect(graph['decode_0']?.inputs).toMatchObject({ vae: ['vae', 0] });
  });

  it('decodes in tiles where the plan says so', () => {
    const memory = { ...plan().memory, vaeTiling: 'aggressive' as const };
    expect(graphOf('sdxl', { memory })['decode_0']).toMatchObject({
      class_type: 'VAEDecodeTiled',
      inputs: { tile_size: 256 },
    });
  });

  it('makes Flux of its parts, with a guider and the shifted schedule', () => {
    const graph = graphOf('flux', { ...FLOW, guidanceScale: 3.5, width: 128 }, PARTS);
    expect(graph['unet']?.inputs).toEqual({ unet_name: 'flux1-dev.safetensors', weight_dtype: 'fp8_e4m3fn' });
    expect(graph['clip']?.inputs).toEqual({
      ...{ clip_name1: 'clip_l.safetensors', clip_name2: 't5xxl.safetensors', type: 'flux' },
    });
    expect(graph['shift']?.inputs).toMatchObject({ max_shift: 1.15, base_shift: 0.5, width: 128, height: 64 });
    expect(graph['guider']).toEqual({
      class_type: 'BasicGuider',
      inputs: { model: ['shift', 0], conditioning: ['positive', 0] },
    });
    expect(graph['positive']?.inputs).toMatchObject({ guidance: 3.5 });
    expect(graph['schedule']?.inputs).toMatchObject({ scheduler: 'simple', steps: 4 });
    expect(graph['stepping']?.inputs).toEqual({ sampler_name: 'euler' });
    expect(JSON.stringify(graph['noise_0'])).toContain('"noise_seed":7');
    expect(graph['negative']).toBeUndefined();
  });

  it('leaves the schedule of a model as it is that was trained without a shift', () => {
    const graph = graphOf('flux', FLOW, { ...PARTS, timeShift: false });
    expect(graph['shift']).toBeUndefined();
    expect(graph['schedule']?.inputs).toMatchObject({ model: ['unet', 0] });
  });

  it('guides Flux by its negative prompt with a true scale above 1 only', () => {
    const guided = graphOf('flux', { ...FLOW, trueCfgScale: 4, negativePrompt: 'fog' }, PARTS);
    expect(guided['guider']).toMatchObject({ class_type: 'CFGGuider', inputs: { cfg: 4 } });
    expect(guided['negative_text']?.inputs).toMatchObject({ text: 'fog' });
    expect(graphOf('flux', { ...FLOW, trueCfgScale: 1 }, PARTS)['guider']?.class_type).toBe('BasicGuider');
  });

  it.each<[PipelineFamily, Partial<ExecutionPlan>, ComfyUiModel]>([
    ['sd15', {}, CHECKPOINT],
    ['sdxl', { seeds: ['1', '2'] }, { ...CHECKPOINT, vae: 'v.safetensors' }],
    ['flux', { ...FLOW, trueCfgScale: 3 }, PARTS],
    ['flux', FLOW, CHECKPOINT],
  ])('has no link that leads nowhere, and a phase for each node: %s', (family, changes, files) => {
    const { graph, samplers, pictures } = workflowFor(plan(changes), { family, comfyui: files });
    expect(deadLinks(graph)).toEqual([]);
    expect(Object.keys(graph).filter((node) => phaseOf(graph, node) === null)).toEqual([]);
    expect(samplers.map((node) => phaseOf(graph, node))).toEqual(samplers.map(() => 'denoise'));
    expect(pictures.every((node) => node in graph)).toBe(true);
  });

  it('refuses what no template stands for, and says which field', () => {
    const field = (family: PipelineFamily, changes: Partial<ExecutionPlan>) => {
      try {
        graphOf(family, changes);
        return null;
      } catch (error) {
        return error instanceof InexpressiblePlanError ? error.field : error;
      }
    };
    expect(field('sd15', { scheduler: 'TCDScheduler', schedulerOptions: {} })).toBe('scheduler');
    expect(field('sd15', { schedulerOptions: { solver_order: 3 } })).toBe('scheduler_options.solver_order');
    expect(field('sd3', FLOW)).toBe('model');
    expect(field('sd15', {})).toBeNull();
  });
});
