import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import type { ListedModel } from './folder-model-catalog.js';
import { FolderModelCatalog } from './folder-model-catalog.js';
import { UnusableModelError } from './model-folder.js';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'safelight-catalog-'));
});

afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

function folder(name: string, pipelineClass = 'StableDiffusionPipeline'): string {
  mkdirSync(join(dir, name), { recursive: true });
  writeFileSync(join(dir, name, 'model_index.json'), JSON.stringify({ _class_name: pipelineClass }));
  return join(dir, name);
}

function file(name: string): string {
  writeFileSync(join(dir, name), '');
  return join(dir, name);
}

function cached(id: string, revision: string): void {
  const home = join('hub', `models--${id.replace('/', '--')}`);
  folder(join(home, 'snapshots', COMMIT), 'FluxPipeline');
  mkdirSync(join(dir, home, 'refs'), { recursive: true });
  writeFileSync(join(dir, home, 'refs', revision), COMMIT);
}

function describeOne(listed: Omit<ListedModel, 'id'>) {
  return new FolderModelCatalog([{ id: 'm', ...listed }], { HF_HUB_CACHE: join(dir, 'hub') }).default();
}

describe('a model', () => {
  it('of a folder is described by it', () => {
    expect(describeOne({ source: folder('a') })).toMatchObject({
      pipelineClass: 'StableDiffusionPipeline',
      family: 'sd15',
      config: null,
      quantization: null,
      memory: { residency: {}, vaeSlicing: null, vaeTiling: null, attentionSlicing: null },
    });
  });

  it('of a single file is described by its config folder', () => {
    const [source, config] = [file('m.safetensors'), folder('xl', 'StableDiffusionXLPipeline')];
    expect(describeOne({ source, config })).toMatchObject({ source, config, family: 'sdxl' });
  });

  it.each(['owner/name', 'owner/name@main', `owner/name@${COMMIT}`])('of the cache of the hub is found as %s', (id) => {
    cached('owner/name', 'main');
    expect(describeOne({ source: id })).toMatchObject({ source: id, pipelineClass: 'FluxPipeline', family: 'flux' });
  });

  it.each<[string, () => Omit<ListedModel, 'id'>, string]>([
    ['is not cached', () => ({ source: 'owner/other' }), 'npm run safelight -- models pull owner/other'],
    ['has another revision cached', () => ({ source: 'owner/name@v2' }), 'models pull owner/name@v2'],
    ['is nowhere', () => ({ source: join(dir, 'gone') }), 'does not exist'],
    ['is a pickle', () => ({ source: file('m.ckpt') }), 'is a pickle'],
    ['is a file without config', () => ({ source: file('m.safetensors') }), '`config` must name'],
    [
      'lists a LoRA that is nowhere',
      () => ({ source: folder('a'), loras: [{ id: 'ink', source: join(dir, 'ink.safetensors') }] }),
      'lists it as ink',
    ],
    [
      'lists ControlNets it cannot follow',
      () => ({ source: folder('f', 'FluxPipeline'), controlnets: [{ id: 'canny', source: folder('c') }] }),
      'cannot be steered by ControlNets',
    ],
    [
      'follows pictures in a way that is not served',
      () => ({ source: folder('f', 'FluxControlNetPipeline') }),
      'cannot be steered by ControlNets',
    ],
    [
      'follows pictures by a ControlNet that is not listed',
      () => ({ source: folder('c', 'StableDiffusionControlNetPipeline') }),
      'list the ControlNet of its folder',
    ],
    ...['StableDiffusion3Pipeline', 'FluxPipeline'].map((name): [string, () => Omit<ListedModel, 'id'>, string] => [
      `lists IP-Adapters beside a ${name}`,
      () => ({ source: folder('f', name), ipAdapters: [{ id: 'face', source: file('face.safetensors') }] }),
      `a ${name} has no UNet to attach IP-Adapters to`,
    ]),
  ])('that %s stops the start and says why', (_, listed, told) => {
    cached('owner/name', 'main');
    const attempt = () => describeOne(listed());
    expect(attempt).toThrow(UnusableModelError);
    expect(attempt).toThrow(told);
  });
});

describe('the other names of a model', () => {
  it('lead to it, and no other name does', () => {
    const catalog = new FolderModelCatalog([
      { id: 'a', source: folder('a') },
      { id: 'b', source: folder('b'), aliases: ['dall-e-3', 'org/model'] },
    ]);
    expect(['b', 'dall-e-3', 'org/model'].map((name) => catalog.find(name)?.id)).toEqual(['b', 'b', 'b']);
    expect(['dall-e-2', 'toString'].map((name) => catalog.find(name))).toEqual([null, null]);
    expect(catalog.list().map(({ id }) => id)).toEqual(['a', 'b']);
  });
});

describe('what a model can do', () => {
  const addOn = () => [{ id: 'x', source: file('x.safetensors') }];
  const FROM_PICTURES = ['text_to_image', 'image_to_image', 'inpaint'];

  it.each<[string, string[]]>([
    ['StableDiffusionPipeline', FROM_PICTURES],
    ['StableDiffusionXLPipeline', FROM_PICTURES],
    ['StableDiffusion3Pipeline', FROM_PICTURES],
    ['FluxPipeline', FROM_PICTURES],
    ['SanaPipeline', ['text_to_image']],
    ['WanPipeline', ['text_to_video']],
    ['LTXPipeline', ['text_to_video']],
    ['CogVideoXPipeline', ['text_to_video']],
    ['AnimateDiffPipeline', ['text_to_video']],
    ['SanaVideoPipeline', ['text_to_video']],
    ['Cosmos2TextToImagePipeline', ['text_to_image']],
    ['StableDiffusionInpaintPipeline', FROM_PICTURES],
    ['FluxFillPipeline', ['inpaint']],
    ['KolorsImg2ImgPipeline', ['image_to_image']],
    ['FluxKontextPipeline', ['text_to_image', 'image_to_image']],
    ['QwenImagePipeline', FROM_PICTURES],
    ['QwenImageEditPipeline', ['image_to_image']],
    ['StableDiffusionModelEditingPipeline', ['text_to_image']],
    ['OmniGenPipeline', ['text_to_image']],
    ['WanImageToVideoPipeline', ['image_to_video']],
    ['StableVideoDiffusionPipeline', ['image_to_video']],
    ['Kandinsky5I2IPipeline', ['image_to_image']],
  ])('is told by its class %s', (pipelineClass, capabilities) => {
    expect(describeOne({ source: folder('m', pipelineClass) }).capabilities).toEqual(capabilities);
  });

  const configs = (pipelineClass: string, files: Record<string, object>) => {
    const source = folder('m', pipelineClass);
    for (const [part, config] of Object.entries(files)) {
      mkdirSync(join(source, part), { recursive: true });
      writeFileSync(join(source, part, 'config.json'), JSON.stringify(config));
    }
    return describeOne({ source }).capabilities;
  };
  const VAE = { latent_channels: 4 };

  it.each<[string, string, Record<string, object>, string[]]>([
    ['a UNet of nine channels', 'StableDiffusionPipeline', { unet: { in_channels: 9 }, vae: VAE }, ['inpaint']],
    ['one of four', 'StableDiffusionInpaintPipeline', { unet: { in_channels: 4 }, vae: VAE }, FROM_PICTURES],
    ['one of nine in SDXL', 'StableDiffusionXLInpaintPipeline', { unet: { in_channels: 9 }, vae: VAE }, ['inpaint']],
    [
      'a transformer of 33',
      'StableDiffusion3InpaintPipeline',
      { transformer: { in_channels: 33 }, vae: { latent_channels: 16 } },
      ['inpaint'],
    ],
    [
      'one of Flux, which packs four latents into one,',
      'FluxPipeline',
      { transformer: { in_channels: 64 }, vae: { latent_channels: 16 } },
      FROM_PICTURES,
    ],
  ])('is told by %s', (_, pipelineClass, files, capabilities) => {
    expect(configs(pipelineClass, files)).toEqual(capabilities);
  });

  it.each([
    ['with', true, ['image_to_image', 'inpaint']],
    ['without', false, FROM_PICTURES],
  ])('%s need of an aesthetic score is what SDXL does', (_, requires_aesthetics_score, capabilities) => {
    const source = folder('m', 'StableDiffusionXLImg2ImgPipeline');
    const index = { _class_name: 'StableDiffusionXLImg2ImgPipeline', requires_aesthetics_score };
    writeFileSync(join(source, 'model_index.json'), JSON.stringify(index));
    expect(describeOne({ source }).capabilities).toEqual(capabilities);
  });

  it('grows with what is put beside it', () => {
    const beside = { loras: addOn(), controlnets: addOn(), ipAdapters: addOn() };
    expect(describeOne({ source: folder('m'), ...beside }).capabilities).toEqual([
      ...FROM_PICTURES,
      'controlnet',
      'lora',
      'ip_adapter',
    ]);
  });

  it.each(['StableDiffusionPipeline', 'StableDiffusionXLPipeline', 'KolorsPipeline'])(
    'grows by IP-Adapters beside a %s',
    (pipelineClass) => {
      const { capabilities } = describeOne({ source: folder('m', pipelineClass), ipAdapters: addOn() });
      expect(capabilities).toContain('ip_adapter');
    },
  );

  it('is to follow pictures where it holds a ControlNet that is listed', () => {
    const source = folder('m', 'StableDiffusionControlNetPipeline');
    const { capabilities } = describeOne({ source, controlnets: [{ id: 'own', source }] });
    expect(capabilities).toEqual([...FROM_PICTURES, 'controlnet']);
  });
});

describe('a model on ComfyUI', () => {
  const NO_DEFAULTS = { width: null, height: null, numInferenceSteps: null, guidanceScale: null, scheduler: null };
  const comfyui = {
    ...{ checkpoint: 'a.safetensors', unet: null, clip: [], vae: null },
    ...{ weightDtype: 'default' as const, timeShift: true, defaults: NO_DEFAULTS },
  };
  const alone = (changes: Partial<ListedModel> = {}) =>
    describeOne({ source: null, family: 'sdxl', comfyui, ...changes });

  it('alone draws from text, with the limits of its family and the noise schedulers that mean something there', () => {
    const model = alone();
    expect(model).toMatchObject({
      ...{ isLocal: false, source: '', family: 'sdxl', pipelineClass: 'StableDiffusionXLPipeline' },
      ...{ capabilities: ['text_to_image'], components: {}, isDefault: true },
      comfyui: { checkpoint: 'a.safetensors' },
      defaults: {
        width: 1024,
        scheduler: 'DPMSolverMultistepScheduler',
        scheduler_options: { use_karras_sigmas: true },
      },
    });
    expect(model.schedulers).toContain('EulerDiscreteScheduler');
    expect(model.schedulers).not.toContain('TCDScheduler');
    expect(model.comfyui).not.toHaveProperty('defaults');
  });

  it('alone has the defaults its entry says', () => {
    const defaults = { ...NO_DEFAULTS, numInferenceSteps: 4, guidanceScale: 1, scheduler: 'LCMScheduler' };
    expect(alone({ comfyui: { ...comfyui, defaults } }).defaults).toEqual({
      ...{ width: 1024, height: 1024, num_inference_steps: 4, guidance_scale: 1 },
      ...{ scheduler: 'LCMScheduler', scheduler_options: {} },
    });
  });

  it.each([
    ['a noise scheduler it has not', { scheduler: 'TCDScheduler' }],
    ['a width its family cannot draw', { width: 513 }],
  ])('is refused for %s', (_, wrong) => {
    expect(() => alone({ comfyui: { ...comfyui, defaults: { ...NO_DEFAULTS, ...wrong } } })).toThrow(
      UnusableModelError,
    );
  });

  it('as well as here is described by its folder', () => {
    const model = describeOne({ source: folder('a'), comfyui });
    expect(model).toMatchObject({ isLocal: true, comfyui: { checkpoint: 'a.safetensors' }, source: join(dir, 'a') });
    expect(model.capabilities).toContain('inpaint');
  });

  it('is refused where its folder is of a family without workflows', () => {
    const source = folder('sd3', 'StableDiffusion3Pipeline');
    expect(() => describeOne({ source, comfyui })).toThrow('no ComfyUI workflows of the family sd3');
  });
});
