import { modelDescription } from '../../../test/support/api.js';
import { PICTURES, pngHeader } from '../../../test/support/pictures.js';
import type { GenerationInput } from './generation-input.js';
import { Picture } from './picture.js';
import { resolveRequest } from './resolve-request.js';

const ALL = ['text_to_image', 'image_to_image', 'inpaint', 'controlnet', 'lora', 'ip_adapter'];
const ADD_ONS = {
  loras: [
    { id: 'paper', source: '/loras/paper.safetensors' },
    { id: 'ink', source: '/loras/ink.safetensors' },
  ],
  controlnets: [{ id: 'canny', source: '/controlnets/canny' }],
  ipAdapters: [{ id: 'face', source: '/ip/face.safetensors' }],
};
const ABLE = modelDescription({ id: 'able', capabilities: ALL, ...ADD_ONS });
const PLAIN = modelDescription({ id: 'plain', isDefault: false });
const VIDEO = modelDescription({ id: 'video', isDefault: false, family: 'other', capabilities: ['text_to_video'] });
const PAINTER = modelDescription({ id: 'painter', isDefault: false, capabilities: ['inpaint'] });
const REFINER = modelDescription({ id: 'refiner', isDefault: false, capabilities: ['image_to_image', 'inpaint'] });
const FILM = modelDescription({ id: 'film', isDefault: false, family: 'other', capabilities: ['image_to_video'] });
const FLUX = modelDescription({ id: 'flux', isDefault: false, family: 'flux' });
const SERVED = [ABLE, PLAIN, VIDEO, PAINTER, REFINER, FILM, FLUX];
const MODELS = {
  list: () => SERVED,
  find: (id: string) => SERVED.find((model) => model.id === id) ?? null,
  default: () => ABLE,
};

const png = new Picture(Buffer.from(PICTURES['a PNG'], 'base64'));
const jpeg = new Picture(Buffer.from(PICTURES['a baseline JPEG'], 'base64'));
const gif = new Picture(Buffer.from('GIF89a, which is a picture all the same'));
const huge = new Picture(pngHeader(8001, 8000));
const heavy = new Picture(Buffer.concat([Buffer.from(PICTURES['a PNG'], 'base64'), Buffer.alloc(20 * 1024 * 1024)]));

const resolve = (input: Partial<GenerationInput>) =>
  resolveRequest({ prompt: 'a red circle', ...input }, MODELS, {
    now: 0,
    webhooksEnabled: false,
    pictureSource: { refusal: () => null },
    timeBudgetMs: null,
    drawSeed: () => '77',
  });
function accepted(input: Partial<GenerationInput>) {
  const resolution = resolve(input);
  if (!resolution.ok) throw new Error(JSON.stringify(resolution.problems));
  return resolution;
}

describe('pictures of a request', () => {
  it('become references, with what was left out filled in, and files', () => {
    const { request, files } = accepted({
      init_image: png,
      mask_image: jpeg,
      mask_transparency: 'painted',
      output_format: 'webp',
      output_quality: 1,
      ip_adapter: { id: 'face', image: jpeg },
      loras: [{ id: 'ink' }, { id: 'paper', weight: -4 }],
    });
    const pngRef = { sha256: png.sha256, bytes: png.bytes.length, media_type: 'image/png', width: 23, height: 17 };
    const jpegRef = { sha256: jpeg.sha256, bytes: jpeg.bytes.length, media_type: 'image/jpeg', width: 23, height: 17 };
    expect(request).toMatchObject({
      init_image: pngRef,
      mask_image: jpegRef,
      mask_transparency: 'painted',
      output_quality: 1,
      strength: 0.8,
      ip_adapter: { id: 'face', image: jpegRef, scale: 1 },
      loras: [
        { id: 'ink', weight: 1 },
        { id: 'paper', weight: -4 },
      ],
    });
    expect(files.map(({ ref, bytes }) => [ref.sha256, bytes])).toEqual([
      [png.sha256, png.bytes],
      [jpeg.sha256, jpeg.bytes],
    ]);
    const followed = accepted({ controls: [{ id: 'canny', image: png }] });
    expect(followed.request.controls).toEqual([{ id: 'canny', image: pngRef, scale: 1, start: 0, end: 1 }]);
    expect(followed.files.map(({ ref }) => ref)).toEqual([pngRef]);
  });

  it('leave no trace in a request without them', () => {
    const { request, files } = accepted({ controls: [], loras: [] });
    const fields = [
      'init_image',
      'mask_image',
      'mask_transparency',
      'output_quality',
      'strength',
      'controls',
      'loras',
      'ip_adapter',
      'num_frames',
    ];
    expect(fields.filter((field) => field in request)).toEqual([]);
    expect(files).toEqual([]);
  });

  it.each<[string, Partial<GenerationInput>, unknown, unknown]>([
    ['init_image', { model: 'plain', init_image: png }, png, { capabilities: ['text_to_image'] }],
    ['mask_image', { model: 'plain', init_image: png, mask_image: png }, png, { capabilities: ['text_to_image'] }],
    ['mask_image', { mask_image: png }, png, { with: 'init_image' }],
    ['init_image', { model: 'painter' }, null, { capabilities: ['inpaint'] }],
    ['mask_image', { model: 'painter', init_image: png }, null, { capabilities: ['inpaint'] }],
    ['init_image', { model: 'refiner' }, null, { capabilities: ['image_to_image', 'inpaint'] }],
    ['init_image', { model: 'film' }, null, { capabilities: ['image_to_video'] }],
    ['mask_image', { model: 'film', init_image: png, mask_image: png }, png, { capabilities: ['image_to_video'] }],
    ['mask_transparency', { init_image: png, mask_transparency: 'kept' }, 'kept', { with: 'mask_image' }],
    ['strength', { strength: 0.5 }, 0.5, { with: 'init_image' }],
    ['strength', { init_image: png, strength: 0 }, 0, { above: 0, max: 1 }],
    ['strength', { init_image: png, strength: 1.01 }, 1.01, { above: 0, max: 1 }],
    ['strength', { init_image: png, strength: Number.NaN }, Number.NaN, { above: 0, max: 1 }],
    [
      'init_image',
      { init_image: gif },
      { bytes: gif.bytes.length, begins_with_hex: '4749463839612c20' },
      { media_types: ['image/png', 'image/jpeg', 'image/webp'] },
    ],
    ['init_image', { init_image: huge }, { width: 8001, height: 8000 }, { max_pixels: 64_000_000 }],
    ['init_image', { init_image: heavy }, heavy.bytes.length, { max_bytes: 20_971_520 }],
    ['controls[0].id', { model: 'plain', controls: [{ id: 'canny', image: png }] }, 'canny', expect.anything()],
    [
      'controls[1].id',
      { controls: [1, 2].map((n) => ({ id: n === 2 ? 'depth' : 'canny', image: png })) },
      'depth',
      ['canny'],
    ],
    ['controls[0].image', { controls: [{ id: 'canny', image: gif }] }, expect.anything(), expect.anything()],
    ['controls[0].scale', { controls: [{ id: 'canny', image: png, scale: 0 }] }, 0, { above: 0, max: 4 }],
    ['controls[0].scale', { controls: [{ id: 'canny', image: png, scale: 4.1 }] }, 4.1, { above: 0, max: 4 }],
    ['controls[0].start', { controls: [{ id: 'canny', image: png, start: -0.1 }] }, -0.1, { min: 0, max: 1 }],
    ['controls[0].end', { controls: [{ id: 'canny', image: png, end: 1.1 }] }, 1.1, { min: 0, max: 1 }],
    ['controls[0].end', { controls: [{ id: 'canny', image: png, start: 0.5, end: 0.5 }] }, 0.5, { above: 0.5 }],
    ['loras[0].id', { model: 'plain', loras: [{ id: 'ink' }] }, 'ink', { capabilities: ['text_to_image'] }],
    ['loras[0].id', { loras: [{ id: 'toString' }] }, 'toString', ['paper', 'ink']],
    ['loras[1].id', { loras: [{ id: 'ink' }, { id: 'ink' }] }, 'ink', { unique: true }],
    ['loras[0].weight', { loras: [{ id: 'ink', weight: 4.5 }] }, 4.5, { min: -4, max: 4 }],
    ['ip_adapter.id', { ip_adapter: { id: 'hand', image: png } }, 'hand', ['face']],
    ['ip_adapter.scale', { ip_adapter: { id: 'face', image: png, scale: -1 } }, -1, { min: 0, max: 4 }],
    ['true_cfg_scale', { true_cfg_scale: 4 }, 4, { absent: true }],
    ['true_cfg_scale', { model: 'flux', true_cfg_scale: 31 }, 31, { min: 0, max: 30 }],
    ['num_frames', { num_frames: 16 }, 16, { absent: true }],
    ['num_frames', { model: 'video', num_frames: 513 }, 513, { min: 1, max: 512 }],
    ['output_format', { output_format: 'mp4' }, 'mp4', ['png', 'webp', 'jpeg']],
    ['output_quality', { output_quality: 90 }, 90, { absent: true }],
    ['output_quality', { output_format: 'jpeg', output_quality: 0 }, 0, { min: 1, max: 100 }],
    ['output_quality', { output_format: 'webp', output_quality: 101 }, 101, { min: 1, max: 100 }],
  ])('are refused with %s at fault, naming value and limit', (field, input, value, limit) => {
    const resolution = resolve(input);
    expect(resolution.ok ? [] : resolution.problems).toEqual([expect.objectContaining({ field, value, limit })]);
  });

  it('tell all that is wrong with them at once', () => {
    const resolution = resolve({
      width: 63,
      mask_image: gif,
      strength: 2,
      controls: [{ id: 'depth', image: huge, start: 2 }],
      loras: [{ id: 'none', weight: 5 }],
    });
    const fields = resolution.ok ? [] : resolution.problems.map(({ field }) => field);
    const wrong = ['width', 'mask_image', 'strength', 'controls', 'controls[0].id', 'controls[0].image'];
    expect(new Set(fields)).toEqual(
      new Set([...wrong, 'controls[0].start', 'controls[0].end', 'loras[0].id', 'loras[0].weight']),
    );
  });

  it.each<[string, Partial<GenerationInput>, string]>([
    ['painter', { init_image: png, mask_image: jpeg }, 'png'],
    ['refiner', { init_image: png }, 'png'],
    ['refiner', { init_image: png, mask_image: jpeg }, 'png'],
    ['film', { init_image: png }, 'mp4'],
  ])('are enough for a model that draws from nothing else: %s, %j', (model, input, output_format) => {
    expect(accepted({ model, ...input }).request).toMatchObject({ model, output_format });
  });

  it('say which of them a model cannot do without', () => {
    const told = (model: string) => {
      const resolution = resolve({ model });
      return resolution.ok ? [] : resolution.problems.map(({ message }) => message);
    };
    expect(told('painter')).toEqual(['the model painter draws from pictures only: it needs init_image and mask_image']);
    expect(told('refiner')).toEqual(['the model refiner draws from pictures only: it needs init_image']);
  });

  it('are videos where a model makes those', () => {
    expect(accepted({ model: 'video', num_frames: 16 }).request).toMatchObject({
      output_format: 'mp4',
      num_frames: 16,
    });
    expect(accepted({ model: 'video', output_format: 'webp' }).request).toMatchObject({ output_format: 'webp' });
    expect(accepted({ model: 'video' }).request.num_frames).toBeUndefined();
  });

  it('may have a second guidance where a model has room for it', () => {
    expect(accepted({ model: 'flux', true_cfg_scale: 4 }).request.true_cfg_scale).toBe(4);
  });
});
