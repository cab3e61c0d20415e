import type { ApiAnswer, RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { keyEntry, KEYS } from '../../../test/support/keys.js';

const PATH = '/v1/images/generations';
const ASKED = { prompt: 'a red circle' };
const as = (id: keyof typeof KEYS) => ({ Authorization: `Bearer ${KEYS[id]}` });

/** The one shape of errors, and nothing else. */
function expectEnvelope(answer: ApiAnswer, status: number, type: string, code: string): void {
  expect(answer.json).toEqual({ error: { message: expect.stringMatching(/./), type, param: null, code } });
  expect(answer.status).toBe(status);
  expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
}

describe('errors of /v1/images', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi({ maxWaiting: 1, bodyLimitBytes: 1024 });
  });
  afterAll(() => api.close());

  const invalid = 'invalid_request_error';

  it.each([
    ['a body that is not JSON', { body: '{"prompt":' }, 400, 'malformed_json'],
    ['no body', {}, 400, 'malformed_json'],
    ['a body that is a list', { body: '[]' }, 400, 'malformed_request'],
    ['a body that is too large', { body: JSON.stringify({ prompt: 'x'.repeat(2000) }) }, 413, 'body_too_large'],
    ['a form', { body: new URLSearchParams(ASKED) }, 415, 'unsupported_media_type'],
  ])('have the envelope: %s', async (_, init, status, code) => {
    const isText = 'body' in init && typeof init.body === 'string';
    const headers: Record<string, string> = isText ? { 'Content-Type': 'application/json' } : {};
    expectEnvelope(await api.request('POST', PATH, { ...init, headers }), status, invalid, code);
  });

  it('have the envelope where nothing is served', async () => {
    expectEnvelope(await api.post('/v1/images/variations', {}), 404, invalid, 'not_found');
    const answer = await api.get(PATH);
    expectEnvelope(answer, 405, invalid, 'method_not_allowed');
    expect(answer.headers.get('allow')).toBe('POST');
  });

  it('name the header at fault', async () => {
    const answer = await api.post(PATH, ASKED, { 'Idempotency-Key': 'x'.repeat(300) });
    expect(answer).toMatchObject({ status: 400, json: { error: { param: 'Idempotency-Key', code: 'invalid_value' } } });
  });

  it('tell when to try again while the queue is full', async () => {
    await api.post('/v1/jobs', ASKED);
    const answer = await api.post(PATH, ASKED);
    expectEnvelope(answer, 429, 'rate_limit_error', 'queue_full');
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(answer.headers.get('x-should-retry')).toBeNull();
  });
});

describe('errors of /v1/images with keys in use', () => {
  let api: RunningApi;
  beforeAll(async () => {
    const keys = [keyEntry('ada', 'user', { maxImagesPerDay: 1 }), keyEntry('prom', 'monitor')];
    api = await startApi({ access: { keys } });
  });
  afterAll(() => api.close());

  it('tell who sends no key, or one that is not known', async () => {
    for (const headers of [{}, { Authorization: 'Bearer sk-anything' }] as Record<string, string>[])
      expectEnvelope(await api.post(PATH, ASKED, headers), 401, 'authentication_error', 'invalid_api_key');
    expectEnvelope(await api.request('POST', '/v1/images/edits', {}), 401, 'authentication_error', 'invalid_api_key');
  });

  it('tell whose key may not do this', async () => {
    expectEnvelope(await api.post(PATH, ASKED, as('prom')), 403, 'permission_error', 'forbidden');
  });

  it('tell when a used-up share renews', async () => {
    const answer = await api.post(PATH, { ...ASKED, n: 2 }, as('ada'));
    expectEnvelope(answer, 429, 'rate_limit_error', 'quota_exceeded');
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  });
});

describe('errors of a server that stops', () => {
  it('tell when to try again', async () => {
    const api = await startApi();
    await api.post('/v1/node/drain', undefined);
    const answer = await api.post(PATH, ASKED);
    expectEnvelope(answer, 503, 'server_error', 'unavailable');
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    await api.close();
  });
});

describe('/v1/models for clients of both kinds', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi();
  });
  afterAll(() => api.close());

  it('lists models as both look for them', async () => {
    const { json } = await api.get('/v1/models');
    const model = { id: 'shapes', object: 'model', created: expect.any(Number), owned_by: 'safelight', family: 'sd15' };
    expect(json).toMatchObject({ object: 'list', data: [model] });
    expect(Math.abs(json.data[0].created - Date.now() / 1000)).toBeLessThan(600);
    expect((await api.get('/v1/models/shapes')).json).toEqual(json.data[0]);
  });

  it('tells an error in one document that both can read', async () => {
    const { status, headers, json } = await api.get('/v1/models/gpt-image-1');
    expect(status).toBe(404);
    expect(headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    expect(json).toMatchObject({
      type: '/docs/errors#model_not_found',
      status: 404,
      code: 'model_not_found',
      error: {
        message: 'no model with this id is served',
        type: 'invalid_request_error',
        param: null,
        code: 'model_not_found',
      },
    });
  });
});
