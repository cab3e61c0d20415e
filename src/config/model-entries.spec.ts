import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { COMFYUI_FAMILIES } from '../domain/generation/comfyui-family.js';
import { PIPELINE_FAMILIES } from '../domain/generation/pipeline-family.js';
import { COMFYUI_FAMILIES as OF_COMFYUI } from './model-disagreements.js';
import { modelEntries } from './model-entries.js';
import { MODEL_FAMILIES } from './model-entry.js';
import { isHubId } from './model-source.js';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'safelight-entries-'));
});

afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const entry = (changes: object) => ({ id: 'm', source: '/m', ...changes });

function entryOf(changes: object) {
  const reading = modelEntries.read([entry(changes)], dir);
  if (!reading.ok) throw new Error(JSON.stringify(reading.complaints));
  return reading.value[0];
}

function complaintsAbout(changes: object) {
  const reading = modelEntries.read([entry(changes)], dir);
  return reading.ok ? [] : reading.complaints.map(({ at, allowed }) => [at.slice(1).join('.'), allowed]);
}

it('knows the families of the domain', () => {
  expect(MODEL_FAMILIES).toEqual(PIPELINE_FAMILIES);
  expect(OF_COMFYUI).toEqual(COMFYUI_FAMILIES);
});

describe('a model', () => {
  it('needs no more than id and source', () => {
    expect(entryOf({})).toEqual({
      id: 'm',
      aliases: [],
      source: '/m',
      config: null,
      family: null,
      dtype: null,
      variant: null,
      quantization: null,
      compile: false,
      channelsLast: false,
      fuseProjections: false,
      loras: [],
      controlnets: [],
      ipAdapters: [],
      pinned: false,
      keepAliveMs: null,
      memory: null,
      comfyui: null,
      default: false,
    });
  });

  it('may have everything said about it, with paths from the folder of the file', () => {
    expect(
      entryOf({
        source: './m.safetensors',
        config: 'm',
        quantization: { backend: 'torchao', options: { quant_type: 'Int8WeightOnlyConfig' }, components: ['unet'] },
        channels_last: true,
        loras: [{ id: 'ink', source: 'ink.safetensors' }],
        keep_alive_ms: 60_000,
        memory: { residency: { text_encoder: 'phase' }, vae_tiling: 'tiled' },
      }),
    ).toMatchObject({
      source: join(dir, 'm.safetensors'),
      config: join(dir, 'm'),
      quantization: { backend: 'torchao', options: { quant_type: 'Int8WeightOnlyConfig' }, components: ['unet'] },
      channelsLast: true,
      loras: [{ id: 'ink', source: join(dir, 'ink.safetensors') }],
      keepAliveMs: 60_000,
      memory: {
        residency: { text_encoder: 'phase' },
        vaeSlicing: null,
        vaeTiling: 'tiled',
        attentionSlicing: null,
      },
    });
    expect(entryOf({ quantization: { backend: 'quanto' } })?.quantization).toEqual({
      backend: 'quanto',
      options: {},
      components: [],
    });
  });

  it.each<[string, object, [string, string][]]>([
    [
      'a backend that is none',
      { quantization: { backend: 'awq' } },
      [['quantization.backend', 'one of bitsandbytes_4bit, bitsandbytes_8bit, torchao, gguf, quanto']],
    ],
    ['no backend', { quantization: {} }, [['quantization', expect.stringContaining('backend is missing') as never]]],
    [
      'an option that is a list',
      { quantization: { backend: 'quanto', options: { x: [1] } } },
      [['quantization.options.x', 'a number, a text, true or false']],
    ],
    [
      'a mistyped key of memory',
      { memory: { vae_tilling: 'off' } },
      [['memory.vae_tilling', 'one of residency, vae_slicing, vae_tiling, attention_slicing']],
    ],
    [
      'a residency that is none',
      { memory: { residency: { unet: 'gone' } } },
      [['memory.residency.unet', 'one of resident, phase, group_offload']],
    ],
    [
      'two LoRAs of one id',
      {
        loras: [
          { id: 'a', source: '/a' },
          { id: 'a', source: '/b' },
        ],
      },
      [['loras.1.id', 'an id that no other of the LoRAs has']],
    ],
    [
      'an alias that is its own id',
      { aliases: ['x', 'm'] },
      [['aliases.1', 'a name that no model has as its id or alias']],
    ],
    ['an alias twice', { aliases: ['x', 'x'] }, [['aliases.1', 'a name that no model has as its id or alias']]],
    ['an alias with spaces', { aliases: ['dall e'] }, [['aliases.0', expect.stringContaining('letters') as never]]],
    ['a LoRA that is only a path', { loras: ['/a'] }, [['loras.0', 'a map with id and source']]],
    ['a time below zero', { keep_alive_ms: -1 }, [['keep_alive_ms', 'a whole number from 0 to 604800000']]],
    [
      'a single file without its config',
      { source: '/m.safetensors' },
      [['source', 'a single file together with its config']],
    ],
    ['a config beside a folder', { config: '/c' }, [['config', 'a folder that describes a single file']]],
  ])('is refused for %s', (_, changes, complaints) => {
    expect(complaintsAbout(changes)).toEqual(complaints);
  });
});

describe('the source of a model', () => {
  it.each([
    ['owner/name', 'owner/name'],
    ['owner/name@v1.0', 'owner/name@v1.0'],
    ['stable-diffusion-v1-5/stable-diffusion-v1-5', 'stable-diffusion-v1-5/stable-diffusion-v1-5'],
  ])('%s is the id of a repository', (source, read) => {
    expect(entryOf({ source })?.source).toBe(read);
    expect(isHubId(read)).toBe(true);
  });

  it('is a folder where there is one of that name', () => {
    mkdirSync(join(dir, 'owner', 'name'), { recursive: true });
    expect(entryOf({ source: 'owner/name' })?.source).toBe(join(dir, 'owner', 'name'));
  });

  it.each(['./owner/name', '../name', 'name', 'a/b/c', '~/m'])('%s is a path', (source) => {
    const read = entryOf({ source })?.source ?? '';
    expect(read.startsWith('/')).toBe(true);
    expect(isHubId(read)).toBe(false);
  });

  it('cannot be a number', () => {
    expect(complaintsAbout({ source: 7 })).toEqual([['source', expect.stringContaining('owner/name@revision')]]);
  });
});

describe('a model on ComfyUI', () => {
  const CHECKPOINT = { checkpoint: 'xl/base.safetensors' };
  const PARTS = { unet: 'u.safetensors', clip: ['l.safetensors', 't5.safetensors'], vae: 'ae.safetensors' };
  const alone = (comfyui: object, changes: object = {}) => ({ source: null, family: 'sdxl', comfyui, ...changes });

  it('may be there as well as here', () => {
    expect(entryOf({ comfyui: CHECKPOINT })?.comfyui).toEqual({
      ...{
        checkpoint: 'xl/base.safetensors',
        unet: null,
        clip: [],
        vae: null,
        weightDtype: 'default',
        timeShift: true,
      },
      defaults: { width: null, height: null, numInferenceSteps: null, guidanceScale: null, scheduler: null },
    });
  });

  it('may be there alone, as one file or in parts', () => {
    expect(entryOf(alone(CHECKPOINT))).toMatchObject({ source: null, family: 'sdxl' });
    const defaults = { num_inference_steps: 4, guidance_scale: 0, width: 512 };
    const entry = entryOf(alone({ ...PARTS, time_shift: false, defaults }, { family: 'flux' }));
    expect(entry?.comfyui).toMatchObject({ unet: 'u.safetensors', timeShift: false });
    expect(entry?.comfyui?.defaults).toMatchObject({ numInferenceSteps: 4, guidanceScale: 0, width: 512 });
  });

  it.each<[string, object, [string, unknown][]]>([
    ['neither file nor parts', { comfyui: {} }, [['comfyui', expect.stringContaining('checkpoint is missing')]]],
    ['both', { comfyui: { ...CHECKPOINT, ...PARTS } }, [['comfyui.checkpoint', 'either checkpoint or parts']]],
    ['one text encoder', { comfyui: { ...PARTS, clip: ['a'] } }, [['comfyui.clip', expect.stringContaining('two')]]],
    ['no VAE', { comfyui: { ...PARTS, vae: null } }, [['comfyui.unet', 'a denoiser together with its vae']]],
    [
      'guidance that is a text',
      { comfyui: { ...CHECKPOINT, defaults: { guidance_scale: '7' } } },
      [['comfyui.defaults.guidance_scale', 'a number from 0 to 30']],
    ],
    ['no family', alone(CHECKPOINT, { family: null }), [['family', expect.stringContaining('sd15, sdxl, flux')]]],
    ['a family without workflows', alone(CHECKPOINT, { family: 'sd3' }), [['family', expect.stringContaining('flux')]]],
    ['what only workers do', alone(CHECKPOINT, { compile: true }), [['compile', 'a model with source']]],
    [
      'a mistyped key',
      { comfyui: { chekpoint: 'a' } },
      [['comfyui.chekpoint', expect.stringContaining('checkpoint, unet')]],
    ],
  ])('is refused for %s', (_, changes, complaints) => {
    expect(complaintsAbout(changes)).toEqual(expect.arrayContaining(complaints));
  });

  it('is nowhere without source and without comfyui', () => {
    expect(complaintsAbout({ source: null })).toEqual([['', 'a model with id and source; source is missing']]);
  });
});
