import type { AnyJson, ApiAnswer, RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { pngOf } from '../../../test/support/pictures.js';
import { eventually } from '../../../test/support/signals.js';
import type { Claim } from '../../jobs/ports/job-store.port.js';

const PNG = pngOf(64, 64, (x, y) => [x, y, 128]);
const BASE64 = PNG.toString('base64');

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

describe('png-info', () => {
  beforeEach(async () => {
    api = await startApi();
  });

  it('reads back what a picture was made with', async () => {
    const { answer } = await made('/sdapi/v1/txt2img', {
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
