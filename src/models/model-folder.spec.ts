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
