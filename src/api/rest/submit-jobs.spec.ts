import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';

const PROMPT = 'a red circle left of a blue star';
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('POST /v1/jobs', () => {
  let api: RunningApi;
  beforeEach(async () => {
    api = await startApi({ maxWaiting: 3 });
  });
  afterEach(() => api.close());

  it('accepts a prompt and shows the job with every default filled in', async () => {
    const answer = await api.post('/v1/jobs', { prompt: PROMPT });
    expect(answer.status).toBe(202);
    expect(answer.json.id).toMatch(UUID_V7);
    expect(answer.headers.get('location')).toBe(`/v1/jobs/${answer.json.id}`);
    expect(answer.json).toMatchObject({
      object: 'job',
      state: 'queued',
      priority: 'normal',
      model: 'shapes',
      queue_position: 1,
      waiting_for: 'capacity',
      request: { prompt: PROMPT, width: 64, height: 64, num_inference_steps: 20, num_images: 1, output_format: 'png' },
    });
    expect((await api.get(answer.headers.get('location') ?? '')).json).toEqual(answer.json);
  });

  it('carries every field to the resolved request', async () => {
    const request = {
      model: 'shapes',
      prompt: PROMPT,
      negative_prompt: 'a dog',
      width: 72,
      height: 128,
      num_inference_steps: 5,
      guidance_scale: 1.5,
      num_images: 2,
      seed: 42,
      scheduler: 'DPMSolverMultistepScheduler',
      scheduler_options: { use_karras_sigmas: false, solver_order: 3, algorithm_type: 'sde-dpmsolver++' },
      priority: 'urgent',
      output_format: 'webp',
      exact: true,
      max_degradation: 'none',
      start_by: '2100-01-01T00:00:00.000Z',
      finish_by: '2100-01-02T00:00:00.000Z',
      time_budget_ms: 60_000,
      metadata: { who: 'me', ключ: 'значение' },
    };
    const { status, json } = await api.post('/v1/jobs', request);
    expect(status).toBe(202);
    expect(json.request).toEqual({ ...request, webhook: null });
  });

  it('takes its own resolved request back', async () => {
    const first = await api.post('/v1/jobs', { prompt: PROMPT, seed: 7 });
    const again = await api.post('/v1/jobs', first.json.request);
    expect(again.status).toBe(202);
    expect(again.json.request).toEqual(first.json.request);
  });

  it.each([
    ['a number', '9223372036854775807'],
    ['a string', '"9223372036854775807"'],
  ])('keeps the largest seed exact, given as %s', async (_kind, seed) => {
    const answer = await api.request('POST', '/v1/jobs', {
      body: `{"prompt": "x", "seed": ${seed}}`,
      headers: { 'Content-Type': 'application/json' },
    });
    expect(answer.status).toBe(202);
    expect(answer.text).toContain('"seed":9223372036854775807,');
    expect((await api.get(`/v1/jobs/${answer.json.id}`)).json.request.seed).toBe(9223372036854775807n);
    expect((await api.store.get(answer.json.id))?.request.seed).toBe('9223372036854775807');
  });

  it('understands offsets of times', async () => {
    const { json } = await api.post('/v1/jobs', { prompt: 'x', start_by: '2100-01-01T02:30:00+02:30' });
    expect(json.request.start_by).toBe('2100-01-01T00:00:00.000Z');
  });

  it('gives the same job to the same key and body, whatever the order of the fields', async () => {
    const key = { 'Idempotency-Key': 'order-1' };
    const first = await api.post('/v1/jobs', { prompt: 'x', width: 64 }, key);
    const again = await api.post('/v1/jobs', { width: 64, prompt: 'x' }, key);
    expect([first.status, again.status]).toEqual([202, 200]);
    expect(again.json.id).toBe(first.json.id);
    expect(again.headers.get('location')).toBe(first.headers.get('location'));
    expect(await api.countJobs()).toBe(1);
  });

  it('refuses the same key with another body', async () => {
    const key = { 'Idempotency-Key': 'order-1' };
    const first = await api.post('/v1/jobs', { prompt: 'x' }, key);
    const other = await api.post('/v1/jobs', { prompt: 'y' }, key);
    expect(other.status).toBe(409);
    expect(other.json).toMatchObject({ code: 'idempotency_conflict', status: 409 });
    expect(other.json.detail).toContain(first.json.id);
    expect(await api.countJobs()).toBe(1);
  });

  it.each(['', 'ä', 'x'.repeat(256)])('refuses the idempotency key %j', async (key) => {
    const answer = await api.post('/v1/jobs', { prompt: 'x' }, { 'Idempotency-Key': key });
    expect(answer.status).toBe(422);
    expect(answer.json.errors[0]).toMatchObject({ field: 'Idempotency-Key', limit: { min_chars: 1, max_chars: 255 } });
    expect(await api.countJobs()).toBe(0);
  });

  it('answers 429 with Retry-After when the queue is full', async () => {
    for (let index = 0; index < 3; index++) await api.post('/v1/jobs', { prompt: 'x' });
    const answer = await api.post('/v1/jobs', { prompt: 'x' });
    expect(answer.status).toBe(429);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(answer.json).toMatchObject({ code: 'queue_full', errors: [{ value: 3, limit: { max_waiting: 3 } }] });
    expect(await api.countJobs()).toBe(3);
  });

  it('waits for the end when asked to, and answers 200', async () => {
    const answered = api.post('/v1/jobs', { prompt: 'x' }, { Prefer: 'wait=30' });
    await submitted(api);
    await api.succeed(await api.claim());
    const answer = await answered;
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({ state: 'succeeded', artifacts: [{ index: 0 }] });
    expect(answer.headers.get('preference-applied')).toBe('wait=30');
  });

  it('answers 202 when the end does not come in the time waited', async () => {
    const answer = await api.post('/v1/jobs', { prompt: 'x' }, { Prefer: 'respond-async, wait=0' });
    expect(answer.status).toBe(202);
    expect(answer.json.state).toBe('queued');
    expect(answer.headers.get('preference-applied')).toBe('wait=0');
  });
});

describe('POST /v1/jobs/batch', () => {
  let api: RunningApi;
  beforeEach(async () => {
    api = await startApi({ maxWaiting: 3 });
  });
  afterEach(() => api.close());

  it('accepts all requests in their order', async () => {
    const { status, json } = await api.post('/v1/jobs/batch', { requests: [{ prompt: 'one' }, { prompt: 'two' }] });
    expect(status).toBe(202);
    expect(json.data.map((job: { request: { prompt: string } }) => job.request.prompt)).toEqual(['one', 'two']);
  });

  it('gives the same jobs to the same key and body', async () => {
    const body = { requests: [{ prompt: 'one' }, { prompt: 'two' }] };
    const first = await api.post('/v1/jobs/batch', body, { 'Idempotency-Key': 'k' });
    const again = await api.post('/v1/jobs/batch', body, { 'Idempotency-Key': 'k' });
    expect(again.status).toBe(200);
    expect(again.json.data.map(idOf)).toEqual(first.json.data.map(idOf));
  });

  it('refuses all for the sake of one, and names where it stands', async () => {
    const requests = [{ prompt: 'x' }, { prompt: '', width: '64' }, 'x', { prompt: 'x', height: 65 }];
    const { status, json } = await api.post('/v1/jobs/batch', { requests });
    expect(status).toBe(422);
    const fields = json.errors.map((error: { field: string }) => error.field);
    expect(fields).toEqual(['requests[1].width', 'requests[1].prompt', 'requests[2]']);
    expect(await api.countJobs()).toBe(0);
  });

  it('names ranges as well when all types are right', async () => {
    const { json } = await api.post('/v1/jobs/batch', { requests: [{ prompt: 'x' }, { prompt: 'x', height: 65 }] });
    expect(json.errors).toMatchObject([{ field: 'requests[1].height', value: 65, limit: { multiple_of: 8 } }]);
  });

  it('refuses all when they do not fit into the queue together', async () => {
    const { status } = await api.post('/v1/jobs/batch', {
      requests: Array.from({ length: 4 }, () => ({ prompt: 'x' })),
    });
    expect(status).toBe(429);
    expect(await api.countJobs()).toBe(0);
  });

  it.each([
    ['no requests', {}, 'requests', { type: 'array' }],
    ['an empty list', { requests: [] }, 'requests', { min: 1 }],
    ['too many', { requests: Array.from({ length: 101 }, () => ({ prompt: 'x' })) }, 'requests', { max: 100 }],
    ['no list', { requests: { prompt: 'x' } }, 'requests', { type: 'array' }],
    ['a stray field', { requests: [{ prompt: 'x' }], prompt: 'x' }, 'prompt', ['requests']],
    ['a list as the body', [{ prompt: 'x' }], 'body', { type: 'object' }],
  ])('refuses %s', async (_name, body, field, limit) => {
    const { status, json } = await api.post('/v1/jobs/batch', body);
    expect(status).toBe(422);
    expect(json.errors).toMatchObject([{ field, limit }]);
    expect(await api.countJobs()).toBe(0);
  });
});

function idOf({ id }: { id: string }): string {
  return id;
}

/** Resolves once a job is on record. */
async function submitted(api: RunningApi): Promise<void> {
  await new Promise<void>((resolve) => {
    const stop = api.events.onAny(() => {
      stop();
      resolve();
    });
  });
}
