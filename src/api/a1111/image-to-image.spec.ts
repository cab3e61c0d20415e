import type { AnyJson, ApiAnswer, RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { pngOf } from '../../../test/support/pictures.js';
import { eventually } from '../../../test/support/signals.js';
import type { Claim } from '../../jobs/ports/job-store.port.js';

const PNG = pngOf(64, 64, (x, y) => [x, y, 128]);
const BASE64 = PNG.toString('base64');
const WIDE = pngOf(128, 64, (x, y) => [x, y, 128]).toString('base64');

const CAPABLE = {
  capabilities: ['text_to_image', 'image_to_image', 'inpaint', 'lora', 'controlnet'],
  loras: [{ id: 'ink', source: '/loras/ink' }],
  controlnets: [{ id: 'canny', source: '/controlnets/canny' }],
};

let api: RunningApi;
afterEach(() => api.close());

/** A claim on the next job that is queued. */
const claimed = () => eventually('a job is queued', () => api.claim().catch(() => null));

/** Sends a request, makes its picture, and returns the answer. */
async function made(path: string, body: unknown): Promise<{ answer: ApiAnswer; request: AnyJson }> {
  const asked = api.post(path, body);
  const refused = asked.then((answer) => {
    if (answer.status !== 200) throw new Error(answer.text);
  });
  const claim = (await Promise.race([claimed(), refused])) as Claim;
  await api.succeed(claim, PNG);
  return { answer: await asked, request: (await api.store.get(claim.jobId))?.request };
}

describe('img2img', () => {
  beforeEach(async () => {
    api = await startApi({ model: CAPABLE });
  });

  it('takes pictures with and without a prefix, and says nothing of them in the answer', async () => {
    const { answer, request } = await made('/sdapi/v1/img2img', {
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
    expect((await made('/sdapi/v1/img2img', body)).answer.json.parameters.init_images).toEqual([BASE64]);
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
    const { answer } = await made('/sdapi/v1/img2img', { ...body, resize_mode: 0 });
    expect(answer.status).toBe(200);
    const same = await made('/sdapi/v1/img2img', { prompt: 'x', init_images: [BASE64], resize_mode: 2 });
    expect(same.answer.status).toBe(200);
  });
});
