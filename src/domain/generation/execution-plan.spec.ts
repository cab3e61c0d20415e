import { generationRequest } from '../../../test/support/jobs.js';
import { modelDescription } from '../../../test/support/api.js';
import { missingAddOn, planFor } from './execution-plan.js';
import type { ImageRef } from './image-ref.js';
import { imageFileName } from './image-ref.js';

const image = (sha256: string): ImageRef => ({ sha256, bytes: 9, media_type: 'image/jpeg', width: 8, height: 8 });
const MODEL = modelDescription({
  config: '/configs/sdxl',
  quantization: { backend: 'torchao', options: { quant_type: 'int8wo' }, components: ['unet'] },
  compile: true,
  loras: [{ id: 'ink', source: '/loras/ink.safetensors' }],
  controlnets: [{ id: 'canny', source: '/controlnets/canny' }],
  ipAdapters: [{ id: 'face', source: '/ip/face.safetensors' }],
  memory: { residency: { unet: 'group_offload' }, vaeSlicing: true, vaeTiling: 'tiled', attentionSlicing: null },
});
const REQUEST = generationRequest({
  exact: true,
  init_image: image('a'),
  mask_image: image('b'),
  strength: 0.5,
  controls: [{ id: 'canny', image: image('c'), scale: 0.7, start: 0.1, end: 0.9 }],
  loras: [{ id: 'ink', weight: -0.5 }],
  ip_adapter: { id: 'face', image: image('d'), scale: 0 },
  true_cfg_scale: 4,
  num_frames: 16,
});
const PLACEMENT = {
  stagingDir: '/staging',
  solo: true,
  resumeFrom: '/checkpoints/job',
  previewIntervalMs: 0,
  checkpointIntervalMs: 5_000,
  inputPath: (ref: ImageRef) => `/inputs/${imageFileName(ref)}`,
};

describe('planFor', () => {
  it('names files and weights by path, and carries what the settings decide about the model', () => {
    const plan = planFor({ id: 'job', request: REQUEST }, 2, MODEL, PLACEMENT);
    expect(plan).toMatchObject({
      attemptId: 'job/2',
      model: { config: '/configs/sdxl', quantization: MODEL.quantization, compile: true, channelsLast: false },
      inputs: {
        initImage: '/inputs/a.jpg',
        maskImage: '/inputs/b.jpg',
        strength: 0.5,
        controls: [
          { id: 'canny', source: '/controlnets/canny', image: '/inputs/c.jpg', scale: 0.7, start: 0.1, end: 0.9 },
        ],
        ipAdapter: { id: 'face', source: '/ip/face.safetensors', image: '/inputs/d.jpg', scale: 0 },
      },
      loras: [{ id: 'ink', source: '/loras/ink.safetensors', weight: -0.5 }],
      memory: MODEL.memory,
      exact: true,
      trueCfgScale: 4,
      numFrames: 16,
      checkpointIntervalMs: 5_000,
      solo: true,
      resumeFrom: '/checkpoints/job',
      maxImages: null,
      isReduced: false,
    });
    expect(Object.keys(plan.model)).not.toContain('pinned');
  });

  it('says null for what was not asked for', () => {
    const plan = planFor({ id: 'job', request: generationRequest() }, 1, modelDescription(), PLACEMENT);
    expect(plan).toMatchObject({
      inputs: { initImage: null, maskImage: null, strength: null, controls: [], ipAdapter: null },
      loras: [],
      trueCfgScale: null,
      numFrames: null,
    });
  });
});

describe('missingAddOn', () => {
  it('finds nothing missing where all is served', () => {
    expect(missingAddOn(REQUEST, MODEL)).toBeNull();
    expect(missingAddOn(generationRequest(), modelDescription())).toBeNull();
  });

  it.each([
    [{ loras: [] }, 'the LoRA ink'],
    [{ controlnets: [{ id: 'depth', source: '/depth' }] }, 'the ControlNet canny'],
    [{ ipAdapters: [] }, 'the IP-Adapter face'],
  ])('names what %j no longer has', (changes, named) => {
    expect(missingAddOn(REQUEST, { ...MODEL, ...changes })).toBe(named);
  });
});
