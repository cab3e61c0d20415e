import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { made } from '../../../test/support/made.js';
import { pngOf } from '../../../test/support/pictures.js';

const PNG = pngOf(64, 64, (x, y) => [x, y, 128]);
const BASE64 = PNG.toString('base64');

let api: RunningApi;
afterEach(() => api.close());

const make = (path: string, body: unknown) => made(api, path, body, { picture: PNG });

describe('png-info', () => {
  beforeEach(async () => {
    api = await startApi();
  });

  it('reads back what a picture was made with', async () => {
    const { answer } = await make('/sdapi/v1/txt2img', {
      prompt: 'a circle, (red:1.2)',
      seed: 5,
      sampler_name: 'DPM++ 2M Karras',
    });
    const { json } = await api.post('/sdapi/v1/png-info', { image: answer.json.images[0] });
    expect(json.info).toBe(JSON.parse(answer.json.info).infotexts[0]);
    expect(json.parameters).toMatchObject({
      ...{ Prompt: 'a circle, (red:1.2)', Steps: '20', Sampler: 'DPM++ 2M', 'Schedule type': 'Karras', Seed: '5' },
      ...{ 'Size-1': '64', 'Size-2': '64', Model: 'shapes', Emphasis: 'None' },
    });
  });

  it('is empty for a picture without any, and refuses what is none', async () => {
    const empty = await api.post('/sdapi/v1/png-info', { image: `data:image/png;base64,${BASE64}` });
    expect(empty.json).toEqual({ info: '', items: {}, parameters: {} });
    expect((await api.post('/sdapi/v1/png-info', { image: '!' })).status).toBe(422);
    expect((await api.post('/sdapi/v1/png-info', { image: 'http://127.0.0.1/x.png' })).status).toBe(422);
    expect((await api.post('/sdapi/v1/png-info', {})).status).toBe(422);
  });

  it('has nothing that upscales beside it', async () => {
    const { status, json } = await api.post('/sdapi/v1/extra-single-image', { image: BASE64, upscaler_1: 'Lanczos' });
    expect(status).toBe(422);
    expect(json.detail).toContain('no upscalers');
  });
});
