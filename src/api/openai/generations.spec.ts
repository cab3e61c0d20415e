import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { fail, finish } from '../../../test/support/openai.js';
import { eventually } from '../../../test/support/signals.js';
import { FAILURE_KINDS } from '../../domain/failure/failure-kind.js';
import { FAILURE_STATUS } from '../http/failure-status.js';

const ASKED = { prompt: 'a red circle' };
const PATH = '/v1/images/generations';

/** One more byte than fits whole groups of three, and than a chunk of a file stream holds. */
const LARGE = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251));
const SMALL = Buffer.from('a picture');

describe('POST /v1/images/generations', () => {
  let api: RunningApi;
  beforeEach(async () => {
    api = await startApi({ model: { capabilities: ['text_to_image'] } });
  });
  afterEach(() => api.close());

  /** The answer to a request whose job gives these pictures, and what was asked of the job. */
  async function drawn(changes: object = {}, pictures: readonly Buffer[] = [SMALL], headers = {}) {
    const answering = api.post(PATH, { ...ASKED, ...changes }, headers);
    const claim = await claimed();
    const job = await api.store.get(claim.jobId);
    await finish(api, claim, pictures, `image/${job?.request.output_format}`);
    return { answer: await answering, request: job?.request, id: claim.jobId };
  }
  const claimed = () => eventually('a job is there', () => api.claim().catch(() => null));

  it('answers with the picture twice, as a URL that can be fetched and in base64', async () => {
    const { answer, id } = await drawn({}, [LARGE]);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(answer.headers.get('safelight-job-id')).toBe(id);
    expect(answer.json).toEqual({
      created: expect.any(Number),
      background: 'opaque',
      output_format: 'png',
      quality: 'high',
      size: '64x64',
      data: [{ b64_json: LARGE.toString('base64'), url: expect.any(String), revised_prompt: 'a red circle' }],
      usage: {
        input_tokens: 0,
        input_tokens_details: { text_tokens: 0, image_tokens: 0 },
        output_tokens: 0,
        total_tokens: 0,
      },
    });
    expect(Math.abs(answer.json.created - Date.now() / 1000)).toBeLessThan(60);
    expect(answer.json.data[0].url).toBe(`${api.url}/v1/jobs/${id}/artifacts/0`);
    const fetched = await fetch(answer.json.data[0].url);
    expect(Buffer.from(await fetched.arrayBuffer())).toEqual(LARGE);
  });

  it.each([
    ['url', ['url', 'revised_prompt']],
    ['b64_json', ['b64_json', 'revised_prompt']],
  ])('answers with %s alone when asked to', async (response_format, members) => {
    const { answer } = await drawn({ response_format }, [SMALL, LARGE]);
    expect(answer.json.data.map(Object.keys)).toEqual([members, members]);
  });

  it('answers with every picture of several', async () => {
    const pictures = [LARGE, SMALL, Buffer.from('xy'), Buffer.from('z')];
    const { answer, request } = await drawn({ n: 4 }, pictures);
    expect(request?.num_images).toBe(4);
    const sent = answer.json.data.map(({ b64_json }: { b64_json: string }) => Buffer.from(b64_json, 'base64'));
    expect(sent).toEqual(pictures);
  });

  it('takes every parameter, and hands on what the engine knows', async () => {
    const { request, answer } = await drawn({
      model: 'shapes',
      n: 2,
      size: '96x128',
      quality: 'low',
      style: 'vivid',
      moderation: 'low',
      background: 'opaque',
      user: 'ada',
      output_format: 'webp',
      output_compression: 70,
      partial_images: 1,
      stream: false,
      seed: 9_007_199_254_740_993n.toString(),
      num_inference_steps: 7,
      guidance_scale: 2.5,
      negative_prompt: 'grey',
      scheduler: 'Euler a',
      priority: 'high',
    });
    expect(request).toMatchObject({
      model: 'shapes',
      num_images: 2,
      width: 96,
      height: 128,
      output_format: 'webp',
      output_quality: 70,
      seed: '9007199254740993',
      num_inference_steps: 7,
      guidance_scale: 2.5,
      negative_prompt: 'grey',
      scheduler: 'EulerAncestralDiscreteScheduler',
      priority: 'high',
      metadata: { user: 'ada' },
    });
    expect(answer.json).toMatchObject({ output_format: 'webp', quality: 'low' });
  });

  it('keeps all digits of a seed that is a number', async () => {
    const headers = { 'Content-Type': 'application/json' };
    const answering = api.request('POST', PATH, { headers, body: '{"prompt":"x","seed":9007199254740993}' });
    const claim = await claimed();
    expect((await api.store.get(claim.jobId))?.request.seed).toBe('9007199254740993');
    await finish(api, claim, [SMALL]);
    expect((await answering).status).toBe(200);
  });

  it.each([
    ['nulls, as clients write what they leave out', { n: null, size: null, model: null, seed: null, stream: null }],
    ['size auto', { size: 'auto', quality: 'auto', background: 'auto' }],
    ['what older models took', { quality: 'hd', style: 'natural', size: '64x64' }],
    ['png that loses nothing', { output_format: 'png', output_compression: 100 }],
    ['an extra_body that nobody merged', { extra_body: {} }],
  ])("takes %s, and draws by the model's defaults", async (_, changes) => {
    const { request, answer } = await drawn(changes);
    expect(request).toMatchObject({ width: 64, height: 64, num_images: 1, num_inference_steps: 20 });
    expect(request).not.toHaveProperty('output_quality');
    expect(answer.status).toBe(200);
  });

  it('honours what stands in extra_body, beneath what stands beside it', async () => {
    const { request } = await drawn({ extra_body: { seed: 5, num_inference_steps: 3 }, num_inference_steps: 4 });
    expect(request).toMatchObject({ seed: '5', num_inference_steps: 4 });
  });

  it.each(FAILURE_KINDS.filter((kind) => !['cancelled', 'worker_stopping'].includes(kind)))(
    'tells of a job that failed for %s, and that asking again is for nothing',
    async (kind) => {
      const answering = api.post(PATH, ASKED);
      const claim = await claimed();
      await fail(api, claim, kind, { field: 'width' });
      const answer = await answering;
      const status = kind === 'invalid_request' ? 400 : FAILURE_STATUS[kind];
      expect(answer.status).toBe(status);
      expect(answer.headers.get('x-should-retry')).toBe('false');
      expect(answer.headers.get('safelight-job-id')).toBe(claim.jobId);
      expect(answer.json.error).toEqual({
        message: `job ${claim.jobId} failed: ${kind}: it was not to be`,
        type: status === 400 ? 'invalid_request_error' : 'server_error',
        param: 'size',
        code: kind,
      });
    },
  );

  it('tells of a job that somebody cancelled', async () => {
    const answering = api.post(PATH, ASKED);
    const id = await eventually('a job is there', async () => (await api.get('/v1/jobs')).json.data[0]?.id ?? null);
    await api.post(`/v1/jobs/${id}/cancel`, undefined);
    expect(await answering).toMatchObject({ status: 499, json: { error: { code: 'cancelled', param: null } } });
  });

  it('gives a job the time of the header Cancel-After', async () => {
    const { request } = await drawn({}, [SMALL], { 'Cancel-After': '5m' });
    const left = (request?.finish_by ?? 0) - Date.now();
    expect(left).toBeGreaterThan(200_000);
    expect(left).toBeLessThanOrEqual(300_000);
    const refused = await api.post(PATH, ASKED, { 'Cancel-After': 'soon' });
    expect(refused).toMatchObject({ status: 400, json: { error: { param: 'Cancel-After' } } });
  });

  it('cancels the job of a client that leaves', async () => {
    const leave = new AbortController();
    const headers = { 'Content-Type': 'application/json' };
    const asked = fetch(api.url + PATH, { method: 'POST', body: JSON.stringify(ASKED), headers, signal: leave.signal });
    const id = await eventually('a job is there', async () => (await api.get('/v1/jobs')).json.data[0]?.id ?? null);
    leave.abort();
    await expect(asked).rejects.toThrow('aborted');
    await eventually('cancelled', async () => (await api.get(`/v1/jobs/${id}`)).json.state === 'cancelled' || null);
  });

  it('gives the same job to the same key, which a client that leaves does not cancel', async () => {
    const key = { 'Idempotency-Key': 'one', 'Content-Type': 'application/json' };
    const leave = new AbortController();
    const body = JSON.stringify(ASKED);
    const asked = fetch(api.url + PATH, { method: 'POST', body, headers: key, signal: leave.signal });
    const id = await eventually('a job is there', async () => (await api.get('/v1/jobs')).json.data[0]?.id ?? null);
    leave.abort();
    await expect(asked).rejects.toThrow('aborted');
    const again = await drawn({}, [SMALL], key);
    expect(again.id).toBe(id);
    expect((await api.post(PATH, ASKED, key)).json).toEqual(again.answer.json);
    expect(await api.countJobs()).toBe(1);
    const other = await api.post(PATH, { ...ASKED, n: 2 }, key);
    expect(other).toMatchObject({ status: 409, json: { error: { code: 'idempotency_conflict', param: null } } });
    expect(other.headers.get('x-should-retry')).toBe('false');
  });

  it('cuts an answer off whose file cannot be read to its end', async () => {
    const answering = api.post(PATH, { ...ASKED, n: 2 });
    const claim = await claimed();
    const remove = api.putFile;
    let files = 0;
    api.putFile = async (name, bytes) => ((files += 1) === 2 ? 'lost' : remove(name, bytes));
    await finish(api, claim, [LARGE, SMALL]);
    await expect(answering).rejects.toThrow('terminated');
    expect((await api.get('/health/live')).status).toBe(200);
  });
});

describe('POST /v1/images/generations, of what cannot be served,', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi();
  });
  afterAll(() => api.close());

  it.each<[string, object, string, string]>([
    ['no prompt', { prompt: undefined }, 'prompt', 'missing_required_parameter'],
    ['an empty prompt', { prompt: ' ' }, 'prompt', 'invalid_value'],
    ['a model that is not served', { model: 'dall-e-3' }, 'model', 'model_not_found'],
    ['a size no model draws', { size: '1024x1024' }, 'size', 'invalid_value'],
    ['a size between two', { size: '65x64' }, 'size', 'invalid_value'],
    ['a size that is none', { size: 'large' }, 'size', 'invalid_value'],
    ['a size that is a number', { size: 512 }, 'size', 'invalid_value'],
    ['a quality that is none', { quality: 'ultra' }, 'quality', 'invalid_value'],
    ['a transparent background', { background: 'transparent' }, 'background', 'invalid_value'],
    ['eleven pictures', { n: 11 }, 'n', 'invalid_value'],
    ['no picture', { n: 0 }, 'n', 'invalid_value'],
    ['a number in words', { n: '2' }, 'n', 'invalid_value'],
    ['a format that is none of ours', { output_format: 'gif' }, 'output_format', 'invalid_value'],
    [
      'a compression beyond the scale',
      { output_format: 'jpeg', output_compression: 101 },
      'output_compression',
      'invalid_value',
    ],
    ['a lossy png', { output_compression: 50 }, 'output_compression', 'invalid_value'],
    ['an answer of another form', { response_format: 'json' }, 'response_format', 'invalid_value'],
    ['four partial images', { partial_images: 4 }, 'partial_images', 'invalid_value'],
    ['a seed below zero', { seed: -1 }, 'seed', 'invalid_value'],
    ['too many steps', { num_inference_steps: 1000 }, 'num_inference_steps', 'invalid_value'],
    ['a scheduler that is none', { scheduler: 'Best' }, 'scheduler', 'invalid_value'],
    ['guidance of other models', { true_cfg_scale: 4 }, 'true_cfg_scale', 'invalid_value'],
    ['a parameter that is none', { promt: 'x' }, 'promt', 'unknown_parameter'],
    ['one of edits', { strength: 0.5 }, 'strength', 'unknown_parameter'],
    ['one that is none in extra_body', { extra_body: { sed: 1 } }, 'sed', 'unknown_parameter'],
  ])('refuses %s before any work', async (_, changes, param, code) => {
    const answer = await api.post(PATH, { ...ASKED, ...changes });
    expect(answer.status).toBe(400);
    expect(answer.json).toEqual({
      error: { message: expect.stringContaining(param), type: 'invalid_request_error', param, code },
    });
    expect(await api.countJobs()).toBe(0);
  });

  it('tells all that is wrong in one sentence', async () => {
    const { json } = await api.post(PATH, { ...ASKED, size: '60x4096', n: 3 });
    expect(json.error.message).toBe(
      'size: its width must be from 64 to 128; size: its width must be a multiple of 8; size: its height must be from 64 to 128',
    );
  });

  it('names the models there are', async () => {
    const { json } = await api.post(PATH, { ...ASKED, model: 'dall-e-3' });
    expect(json.error.message).toBe('model: no such model is served; there is shapes');
  });
});
