import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { componentWeights } from './component-weights.js';

const MODULE = ['diffusers', 'AClass'];

describe('componentWeights', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-weights-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function write(name: string, bytes: number): void {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), Buffer.alloc(bytes));
  }

  function weights(index: Record<string, unknown>, variant: string | null = null): Record<string, number | null> {
    writeFileSync(join(folder, 'model_index.json'), JSON.stringify(index));
    return componentWeights({ folder }, variant);
  }

  it('adds up the files of each component with weights', () => {
    write('unet/diffusion_pytorch_model-00001-of-00002.safetensors', 30);
    write('unet/diffusion_pytorch_model-00002-of-00002.safetensors', 12);
    write('unet/config.json', 500);
    write('vae/diffusion_pytorch_model.safetensors', 7);
    expect(weights({ unet: MODULE, vae: MODULE, scheduler: MODULE, tokenizer: MODULE })).toEqual({
      unet: 42,
      vae: 7,
    });
  });

  it('takes the files of the variant, and the plain ones where it has none', () => {
    write('unet/diffusion_pytorch_model.safetensors', 40);
    write('unet/diffusion_pytorch_model.fp16.safetensors', 20);
    write('vae/diffusion_pytorch_model.safetensors', 7);
    const index = { unet: MODULE, vae: MODULE };
    expect(weights(index, 'fp16')).toEqual({ unet: 20, vae: 7 });
    expect(weights(index)).toEqual({ unet: 40, vae: 7 });
  });

  it('names a component whose weights lie elsewhere, without a size', () => {
    expect(weights({ transformer: MODULE })).toEqual({ transformer: null });
  });

  it('leaves out what the pipeline goes without', () => {
    expect(weights({ text_encoder_3: [null, null], vae: MODULE })).toEqual({ vae: null });
  });
});
