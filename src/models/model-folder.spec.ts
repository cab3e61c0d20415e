import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { readModelFolder, UnusableModelError } from './model-folder.js';

describe('readModelFolder', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-model-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function write(name: string, value: unknown): void {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value));
  }
  function writePipeline(pipelineClass: string): void {
    write('model_index.json', { _class_name: pipelineClass });
    write('unet/config.json', { sample_size: 96 });
    write('vae/config.json', { block_out_channels: [128, 256, 512, 512] });
  }

  it('tells family and native size from the configs', () => {
    writePipeline('StableDiffusionPipeline');
    expect(readModelFolder(folder, null)).toMatchObject({
      family: 'sd15',
      defaults: { width: 768, height: 768, guidance_scale: 7.5 },
    });
  });

  it('takes a class it does not know as one of the others', () => {
    write('model_index.json', { _class_name: 'SanaPipeline' });
    expect(readModelFolder(folder, null).family).toBe('other');
  });

  const EULER = 'EulerDiscreteScheduler';
  const FLOW = 'FlowMatchEulerDiscreteScheduler';
  const SOLVER = 'DPMSolverMultistepScheduler';
  it.each<[string, object | null, string, string[]]>([
    ['StableDiffusionPipeline', { _class_name: EULER }, SOLVER, [SOLVER, EULER]],
    ['StableDiffusionPipeline', { _class_name: 'LMSDiscreteScheduler' }, SOLVER, [SOLVER, EULER]],
    ['StableDiffusionPipeline', null, SOLVER, [SOLVER, EULER]],
    ['FluxPipeline', { _class_name: FLOW }, FLOW, [FLOW]],
    ['FluxPipeline', null, FLOW, [FLOW]],
    ['FluxFillPipeline', { _class_name: FLOW, shift: 3 }, FLOW, [FLOW]],
    ['SanaPipeline', { _class_name: SOLVER, use_flow_sigmas: true }, SOLVER, [SOLVER]],
    ['PixArtSigmaPipeline', { _class_name: SOLVER, use_flow_sigmas: false }, SOLVER, [SOLVER, EULER]],
    ['WuerstchenDecoderPipeline', { _class_name: 'DDPMWuerstchenScheduler' }, '', []],
    ['SomePipeline', null, '', []],
  ])('runs a %s with noise scheduler %j with %s, or one of %j', (pipelineClass, config, scheduler, some) => {
    write('model_index.json', { _class_name: pipelineClass });
    if (config !== null) write('scheduler/scheduler_config.json', config);
    const { defaults, schedulers } = readModelFolder(folder, null);
    expect(defaults.scheduler).toBe(scheduler);
    expect(some.filter((name) => !schedulers.includes(name))).toEqual([]);
    // What no other can stand in for stays as it is: Karras sigmas would silently replace those of a flow.
    const isKept = some.length < 2;
    expect(schedulers.length === some.length).toBe(isKept);
    expect(defaults.scheduler_options).toEqual(isKept ? {} : { use_karras_sigmas: true });
  });

  it('reads configs as Python writes them, with numbers that are none in JSON', () => {
    write('model_index.json', { _class_name: 'SanaPipeline' });
    const numbers = '"lambda_min_clipped": -Infinity, "list": [NaN, Infinity]';
    write('scheduler/scheduler_config.json', `{"_class_name": "${SOLVER}", ${numbers}, "use_flow_sigmas": true}`);
    expect(readModelFolder(folder, null).schedulers).toEqual([SOLVER]);
  });

  it('lets safelight.json narrow limits and defaults', () => {
    writePipeline('StableDiffusionPipeline');
    write('safelight.json', { limits: { max_width: 128 }, defaults: { width: 64, guidance_scale: 3 } });
    expect(readModelFolder(folder, null)).toMatchObject({
      limits: { max_width: 128, max_height: 2048 },
      defaults: { width: 64, height: 768, guidance_scale: 3 },
    });
  });

  it.each([
    ['is empty', {}, 'model_index.json'],
    ['asks for code of its own', { 'model_index.json': { _class_name: ['pipeline', 'Mine'] } }, 'code that comes with'],
    ['has a broken index', { 'model_index.json': '{' }, 'not JSON'],
    [
      'has a typo in safelight.json',
      { 'model_index.json': { _class_name: 'X' }, 'safelight.json': { limit: {} } },
      'limit',
    ],
  ])('says what is wrong with a folder that %s', (_, files, word) => {
    for (const [name, value] of Object.entries(files)) write(name, value);
    expect(() => readModelFolder(folder, null)).toThrow(UnusableModelError);
    expect(() => readModelFolder(folder, null)).toThrow(word);
  });
});
