import type { RunningApi } from '../../../test/support/api.js';
import { PICTURE, startApi } from '../../../test/support/api.js';
import { attemptRecord } from '../../../test/support/jobs.js';
import { keyEntry, KEYS } from '../../../test/support/keys.js';
import { claimed, made } from '../../../test/support/made.js';

const AUTHORIZED = { Authorization: `Bearer ${KEYS.ada}` };

/** What the test client of the predecessor sends, and one of its forks. */
const ASKED = { prompt: 'a red circle', num_inference_steps: 30, num_images_per_prompt: 1 };
const ASKED_OTHERWISE = { ...ASKED, num_images: 1, guidance_scale: 0.5, max_sequence_length: 256, seed: 7 };

let api: RunningApi;
afterEach(() => api.close());

describe.each(['/api/diffusers/inference', '/api/v1/content/generate'])('POST %s', (path) => {
  it('answers with addresses that lead to the pictures, as they are and as the clients take them apart', async () => {
    api = await startApi();
    const { answer, claim } = await made(api, path, ASKED);
    expect(answer.json).toEqual({ response: [`${api.url}/images/${claim.jobId}_0.png`] });
    const [url] = answer.json.response;
    expect(Buffer.from(await (await fetch(url)).arrayBuffer())).toEqual(PICTURE);
    const name = new URL(url).pathname.split('/').at(-1);
    expect(Buffer.from(await (await fetch(`${api.url}/images/${name}`)).arrayBuffer())).toEqual(PICTURE);
  });

  it('makes a job like any other of what is asked for', async () => {
    api = await startApi();
    const { claim } = await made(api, path, { ...ASKED_OTHERWISE, model: 'shapes', negative_prompt: null });
    expect((await api.store.get(claim.jobId))?.request).toMatchObject({
      ...{ model: 'shapes', prompt: 'a red circle', negative_prompt: '', num_inference_steps: 30 },
      ...{ num_images: 1, guidance_scale: 0.5, seed: '7' },
    });
  });

  it('gives addresses that need no key, while keys are in use', async () => {
    api = await startApi({ access: { keys: [keyEntry('ada', 'user')] } });
    expect((await api.post(path, ASKED)).status).toBe(401);
    const { answer } = await made(api, path, ASKED, { headers: AUTHORIZED });
    const [url] = answer.json.response;
    expect((await fetch(url)).status).toBe(200);
    const unsigned = url.replace(/_\d{10}_[\w-]+\.png$/, '.png');
    expect(unsigned).not.toBe(url);
    expect((await fetch(unsigned)).status).toBe(401);
    expect((await fetch(unsigned, { headers: AUTHORIZED })).status).toBe(200);
    expect((await fetch(url.replace(/.\.png$/, url.endsWith('a.png') ? 'b.png' : 'a.png'))).status).toBe(401);
  });

  it.each<[string, unknown, RegExp]>([
    ['no prompt', {}, /^prompt /],
    ['an empty prompt', { prompt: ' ' }, /^prompt must not be empty/],
    ['a model that is not served', { ...ASKED, model: 'other' }, /^model no such model/],
    ['too many pictures', { prompt: 'x', num_images: 99 }, /^num_images /],
    ['videos', { ...ASKED, type_models: 't2v' }, /^type_models /],
  ])('is refused for %s, where the clients of either server look', async (_what, body, message) => {
    api = await startApi();
    const { status, json } = await api.post(path, body);
    expect(status).toBe(422);
    expect(json).toEqual({ error: expect.stringMatching(message), detail: json.error });
    expect(await api.countJobs()).toBe(0);
  });

  it('tells of a failure with its status', async () => {
    api = await startApi();
    const asked = api.post(path, ASKED);
    const claim = await claimed(api);
    const failure = { kind: 'model_unavailable', phase: 'load', step: 0, message: 'the model is gone' } as const;
    const record = attemptRecord({ outcome: 'failed', failure, finishedAt: Date.now() });
    const ended = await api.store.endIfClaimed(claim, record, { state: 'failed', failure }, Date.now());
    if (!ended.recorded) throw new Error('expected the claim to hold');
    api.events.publish(ended.events);
    const { status, json } = await asked;
    expect(status).toBe(503);
    expect(json).toEqual({ error: 'the model is gone', detail: 'the model is gone' });
  });
});

describe('GET /images', () => {
  it.each(['img1.png', '0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b_x.png', '../../etc/passwd'])(
    'leads nowhere for %s',
    async (name) => {
      api = await startApi();
      const { status, json } = await api.get(`/images/${encodeURIComponent(name)}`);
      expect(status).toBe(404);
      expect(json).toEqual({ error: expect.any(String), detail: json.error });
    },
  );
});
