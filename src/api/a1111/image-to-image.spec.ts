import type { AnyJson, RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { CAPABLE, made } from '../../../test/support/made.js';
import { pngOf } from '../../../test/support/pictures.js';

const PNG = pngOf(64, 64, (x, y) => [x, y, 128]);
const BASE64 = PNG.toString('base64');
const WIDE = pngOf(128, 64, (x, y) => [x, y, 128]).toString('base64');

let api: RunningApi;
afterEach(() => api.close());

const make = (path: string, body: unknown) => made(api, path, body, { picture: PNG });

describe('img2img', () => {
  beforeEach(async () => {
    api = await startApi({ model: CAPABLE });
  });

  it('takes pictures with and without a prefix, and says nothing of them in the answer', async () => {
    const { answer, request } = await make('/sdapi/v1/img2img', {
      prompt: 'a circle',
      init_images: [`data:image/png;base64,${BASE64}`],
      mask: BASE64,
      ...{ resize_mode: 0, mask_blur: 4, inpainting_fill: 1, inpaint_full_res: true, inpainting_mask_invert: 0 },
      ...{ inpaint_full_res_padding: 0, initial_noise_multiplier: 1, image_cfg_scale: 1.5, include_init_images: false },
    });
    expect(request).toMatchObject({ init_image: { width: 64 }, mask_image: { width: 64 }, strength: 0.75 });
    expect(answer.json.parameters).toMatchObject({ init_images: null, mask: null, denoising_strength: 0.75 });
    expect(JSON.parse(answer.json.info).denoising_strength).toBe(0.75);
  });

  it('repeats the pictures when asked to', async () => {
    const body = { prompt: 'a circle', init_images: [BASE64], include_init_images: true };
    expect((await make('/sdapi/v1/img2img', body)).answer.json.parameters.init_images).toEqual([BASE64]);
  });

  it.each<[string, unknown, string]>([
    ['init_images', [], 'init_images'],
    ['init_images', [BASE64, BASE64], 'init_images'],
    ['init_images', ['not a picture!'], 'init_images[0]'],
    ['mask', 'not a picture!', 'mask'],
    ['inpainting_mask_invert', 1, 'inpainting_mask_invert'],
    ['inpainting_fill', 2, 'inpainting_fill'],
    ['denoising_strength', 0, 'denoising_strength'],
    ['denoising_strength', 1.5, 'denoising_strength'],
    ['latent_mask', BASE64, 'latent_mask'],
  ])('is refused for %s %j', async (field, value, at) => {
    const body = { prompt: 'a circle', init_images: [BASE64], [field]: value };
    const { status, json } = await api.post('/sdapi/v1/img2img', body);
    expect(status).toBe(422);
    expect(json.detail.map(({ msg }: AnyJson) => msg)).toEqual([expect.stringContaining(`${at}: `)]);
  });

  it('only stretches pictures', async () => {
    const body = { prompt: 'a circle', init_images: [WIDE] };
    const refused = await api.post('/sdapi/v1/img2img', { ...body, resize_mode: 1 });
    expect(refused.json.detail).toEqual([expect.objectContaining({ loc: ['body', 'resize_mode'] })]);
    const { answer } = await make('/sdapi/v1/img2img', { ...body, resize_mode: 0 });
    expect(answer.status).toBe(200);
    const same = await make('/sdapi/v1/img2img', { prompt: 'x', init_images: [BASE64], resize_mode: 2 });
    expect(same.answer.status).toBe(200);
  });
});
