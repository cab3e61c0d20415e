import { connect } from 'node:net';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import type { RunningApi } from '../../../test/support/api.js';
import { PICTURE, startApi } from '../../../test/support/api.js';
import { keyEntry, KEYS } from '../../../test/support/keys.js';

const as = (key: keyof typeof KEYS) => ({ Authorization: `Bearer ${KEYS[key]}` });

let api: RunningApi;

/** Half past a minute, and what tests add to it. */
let now = Date.UTC(2026, 10, 21, 12, 0, 30);

const withKeys = async (limits = {}) => {
  api = await startApi({
    now: () => now,
    access: {
      keys: [
        keyEntry('ada', 'user', limits),
        keyEntry('bob', 'user'),
        keyEntry('prom', 'monitor'),
        keyEntry('ops', 'operator'),
      ],
    },
  });
};

const submitted = async (key: keyof typeof KEYS, more = {}): Promise<string> => {
  const answer = await api.post('/v1/jobs', { prompt: 'a cat', ...more }, as(key));
  expect(answer.status).toBe(202);
  return answer.json.id;
};

beforeEach(() => {
  now = Date.UTC(2026, 10, 21, 12, 0, 30);
});

afterEach(() => api.close());

describe('with keys in use', () => {
  beforeEach(() => withKeys());

  it('a request without a key, or with an unknown one, is told how to send one and enqueues nothing', async () => {
    const credentials: Record<string, string>[] = [
      {},
      { Authorization: 'Bearer sl_guessed' },
      { 'X-Api-Key': 'sl_guessed' },
    ];
    for (const headers of credentials) {
      const answer = await api.post('/v1/jobs', { prompt: 'a cat' }, headers);
      expect(answer).toMatchObject({ status: 401, json: { code: 'unauthorized' } });
      expect(answer.headers.get('www-authenticate')).toContain('Bearer');
    }
    expect(await api.countJobs()).toBe(0);
  });

  it('nothing of a body is read before the key is known', async () => {
    const { port, hostname } = new URL(api.url);
    const socket = connect(Number(port), hostname);
    socket.write(
      'POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"pro',
    );
    const [head] = (await new Promise<Buffer>((resolve) => socket.once('data', resolve))).toString().split('\r\n');
    socket.destroy();
    expect(head).toBe('HTTP/1.1 401 Unauthorized');
  });

  it.each([
    ['a bearer token', { Authorization: `Bearer ${KEYS.ada}` }],
    ['the header of its own', { 'X-Api-Key': KEYS.ada }],
    [
      'the password of basic authentication',
      { Authorization: `Basic ${Buffer.from(`me:${KEYS.ada}`).toString('base64')}` },
    ],
  ])('a key is taken as %s', async (_how, headers) => {
    expect((await api.post('/v1/jobs', { prompt: 'a cat' }, headers)).status).toBe(202);
  });

  it('a user sees, follows, cancels and lists its own jobs, and of those of others nothing', async () => {
    const id = await submitted('ada');
    for (const path of [`/v1/jobs/${id}`, `/v1/jobs/${id}/debug`, `/v1/jobs/${id}/preview`]) {
      expect(await api.get(path, as('bob'))).toMatchObject({ status: 404, json: { code: 'job_not_found' } });
    }
    expect((await api.get(`/v1/jobs/${id}/events`, as('bob'))).status).toBe(404);
    expect((await api.request('POST', `/v1/jobs/${id}/cancel`, { headers: as('bob') })).status).toBe(404);
    expect((await api.get('/v1/jobs', as('bob'))).json.data).toEqual([]);

    expect((await api.get('/v1/jobs', as('ada'))).json.data).toMatchObject([{ id, state: 'queued' }]);
    expect((await api.request('POST', `/v1/jobs/${id}/cancel`, { headers: as('ada') })).json.state).toBe('cancelled');
  });

  it('an operator sees and cancels every job', async () => {
    const id = await submitted('ada');
    expect((await api.get('/v1/jobs', as('ops'))).json.data).toMatchObject([{ id }]);
    expect((await api.request('POST', `/v1/jobs/${id}/cancel`, { headers: as('ops') })).status).toBe(202);
  });

  it('idempotency keys of different keys have nothing to do with each other', async () => {
    const headers = { 'Idempotency-Key': 'once' };
    const first = await api.post('/v1/jobs', { prompt: 'a cat' }, { ...headers, ...as('ada') });
    const other = await api.post('/v1/jobs', { prompt: 'a dog' }, { ...headers, ...as('bob') });
    expect([first.status, other.status]).toEqual([202, 202]);
  });

  it.each([
    ['GET', '/metrics', { prom: 200, ops: 200, ada: 403 }],
    ['GET', '/v1/workers', { prom: 200, ops: 200, ada: 403 }],
    ['GET', '/v1/node', { prom: 200, ops: 200, ada: 403 }],
    ['GET', '/v1/models', { prom: 200, ops: 200, ada: 200 }],
    ['GET', '/v1/jobs', { prom: 403, ops: 200, ada: 200 }],
    ['POST', '/v1/workers/cpu:0%231/drain', { prom: 403, ada: 403, ops: 202 }],
    ['POST', '/v1/node/drain', { prom: 403, ada: 403, ops: 202 }],
  ] as const)('%s %s answers each role as it should', async (method, path, expected) => {
    for (const [key, status] of Object.entries(expected)) {
      const answer = await api.request(method, path, { headers: as(key as keyof typeof KEYS) });
      expect({ key, status: answer.status }).toEqual({ key, status });
      if (status === 403) expect(answer.json.code).toBe('forbidden');
    }
    expect((await api.request(method, path)).status).toBe(401);
  });

  it('no route that is told of answers who has no key, or shows one key a job of another', async () => {
    const { paths } = (await api.get('/openapi.json')).json as { paths: Record<string, Record<string, unknown>> };
    const id = await submitted('bob');
    const wrong: string[] = [];
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((m) => [m, path] as const),
    );
    for (const [method, path] of routes) {
      if (/^\/(?:health\/|docs\/|openapi|$)/.test(path)) continue;
      const asked = path.replace('/jobs/{id}', `/jobs/${id}`).replaceAll(/\{\w+\}/g, '0');
      const answerTo = async (headers: Record<string, string>) =>
        (await api.request(method.toUpperCase(), asked, { headers })).status;
      const [nobody, ada, prom] = [await answerTo({}), await answerTo(as('ada')), await answerTo(as('prom'))];
      if (nobody !== 401) wrong.push(`${method} ${path} answers nobody with ${nobody}`);
      if (!asked.includes(id)) continue;
      if (ada !== 404) wrong.push(`${method} ${path} answers another key with ${ada}`);
      if (prom !== 403 && prom !== 404) wrong.push(`${method} ${path} answers a monitor with ${prom}`);
    }
    expect(wrong).toEqual([]);
    expect(routes.filter(([, path]) => path.includes('/jobs/{id}')).length).toBeGreaterThan(4);
    expect(await api.countJobs()).toBe(1);
  });

  it.each(['/health/live', '/health/ready', '/', '/docs/errors', '/openapi.json'])('%s asks nobody', async (path) => {
    expect((await api.get(path)).status).toBe(200);
  });

  it('a picture is for its owner, or for whoever has a signed link that still holds', async () => {
    const id = await submitted('ada');
    await api.succeed(await api.claim());
    const path = `/v1/jobs/${id}/artifacts/0`;
    expect((await api.get(path)).status).toBe(401);
    expect((await api.get(path, as('bob'))).status).toBe(404);
    expect((await api.get(path, as('ada'))).text).toBe(PICTURE.toString());

    const signed = api.links.path(id, 0);
    expect(await api.get(signed)).toMatchObject({ status: 200, text: PICTURE.toString() });
    expect(signed).toContain(`expires=${now / 1000 + 86_400}&`);
    expect((await api.get(signed.replace('/artifacts/0', '/artifacts/1'))).status).toBe(401);
    expect((await api.get(signed.replace(/expires=\d/, 'expires=9'))).status).toBe(401);
    expect((await api.get(signed.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')))).status).toBe(401);
    now += 86_400_000;
    expect((await api.get(signed)).status).toBe(401);
  });
});

describe('the share of a key', () => {
  it('bounds unfinished jobs: more are taken once some have ended', async () => {
    await withKeys({ maxUnfinishedJobs: 2 });
    const first = await submitted('ada');
    await submitted('ada');
    const answer = await api.post('/v1/jobs', { prompt: 'a cat' }, as('ada'));
    expect(answer).toMatchObject({
      status: 429,
      json: {
        code: 'quota_exceeded',
        errors: [{ field: 'max_unfinished_jobs', value: 2, limit: { max_unfinished_jobs: 2 } }],
      },
    });
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    await submitted('bob');

    await api.request('POST', `/v1/jobs/${first}/cancel`, { headers: as('ada') });
    await submitted('ada');
  });

  it('bounds jobs a minute, a batch counting whole, and a refused one not at all', async () => {
    await withKeys({ maxJobsPerMinute: 3 });
    const requests = (n: number) => ({ requests: Array.from({ length: n }, () => ({ prompt: 'a cat' })) });
    expect((await api.post('/v1/jobs/batch', requests(2), as('ada'))).status).toBe(202);
    expect(await api.post('/v1/jobs/batch', requests(2), as('ada'))).toMatchObject({
      status: 429,
      json: { errors: [{ field: 'max_jobs_per_minute', value: 2, limit: { renews_at: '2026-11-21T12:01:00.000Z' } }] },
    });
    await submitted('ada');
    expect(await api.countJobs()).toBe(3);

    now += 30_000;
    expect((await api.post('/v1/jobs/batch', requests(3), as('ada'))).status).toBe(202);
  });

  it('bounds pictures a day, and a repeated request with its idempotency key takes nothing', async () => {
    await withKeys({ maxImagesPerDay: 4 });
    const headers = { ...as('ada'), 'Idempotency-Key': 'once' };
    const body = { prompt: 'a cat', num_images: 4 };
    const first = await api.post('/v1/jobs', body, headers);
    expect(await api.post('/v1/jobs', body, headers)).toMatchObject({ status: 200, json: { id: first.json.id } });
    expect(await api.post('/v1/jobs', { prompt: 'a cat' }, as('ada'))).toMatchObject({
      status: 429,
      json: { errors: [{ field: 'max_images_per_day', value: 4 }] },
    });
  });
});

describe('without keys', () => {
  beforeEach(async () => {
    api = await startApi();
  });

  it('everybody may do everything, and whatever token is sent only tells clients apart', async () => {
    const { json } = await api.post('/v1/jobs', { prompt: 'a cat' }, { Authorization: 'Bearer anything' });
    expect((await api.get(`/v1/jobs/${json.id}`)).status).toBe(200);
    expect((await api.get('/metrics')).status).toBe(200);
    expect(api.links.path(json.id, 0)).toBe(`/v1/jobs/${json.id}/artifacts/0`);
  });
});
