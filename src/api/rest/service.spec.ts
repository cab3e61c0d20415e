import { request as rawRequest } from 'node:http';

import type { RunningApi } from '../../../test/support/api.js';
import { startApi, workerDescription } from '../../../test/support/api.js';

describe('the service as a whole', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi();
  });
  beforeEach(() => {
    api.workers.splice(0, api.workers.length, workerDescription());
  });
  afterAll(() => api.close());

  it('lists the models with limits and defaults, and without their folders', async () => {
    const { text, json } = await api.get('/v1/models');
    expect(json.data).toMatchObject([
      {
        id: 'shapes',
        family: 'sd15',
        ready: true,
        loaded: true,
        default: true,
        limits: { max_width: 128, size_multiple: 8 },
        defaults: { width: 64, num_inference_steps: 20 },
        schedulers: expect.arrayContaining(['DPMSolverMultistepScheduler']),
        capabilities: ['text_to_image'],
      },
    ]);
    expect(text).not.toContain('/models/shapes');
    expect((await api.get('/v1/models/shapes')).json).toEqual(json.data[0]);
  });

  it('says of a model whether a worker would run it, and at once', async () => {
    api.workers.splice(0, 1, workerDescription({ models: [] }));
    expect((await api.get('/v1/models/shapes')).json).toMatchObject({ ready: true, loaded: false });
    api.workers.splice(0, 1, workerDescription({ state: 'defunct' }));
    expect((await api.get('/v1/models/shapes')).json).toMatchObject({ ready: false, loaded: false });
  });

  it('knows no other model', async () => {
    expect((await api.get('/v1/models/..%2fshapes')).json).toMatchObject({ status: 404, code: 'model_not_found' });
  });

  it('lists the workers', async () => {
    api.workers.push(workerDescription({ id: 'cpu:0#2', state: 'starting', pid: null, memory: null, versions: null }));
    const { json } = await api.get('/v1/workers');
    expect(json.data).toEqual([
      {
        id: 'cpu:0#1',
        node: 'here',
        device: 'cpu:0',
        device_name: 'a processor',
        state: 'ready',
        pid: 4711,
        models: ['shapes'],
        running: 0,
        memory: { total_bytes: 8_000, free_bytes: 5_000, allocated_bytes: 2_000, reserved_bytes: 3_000 },
        restarts: 0,
        reason: null,
        versions: { torch: '2.13.0' },
      },
      expect.objectContaining({ id: 'cpu:0#2', state: 'starting', pid: null, memory: null }),
    ]);
  });

  it('is live', async () => {
    expect((await api.get('/health/live')).json).toEqual({ live: true });
  });

  it('is ready while one worker takes work', async () => {
    api.workers.push(workerDescription({ id: 'b', state: 'defunct', reason: 'it crashed 5 times' }));
    const { status, json } = await api.get('/health/ready');
    expect(status).toBe(200);
    expect(json).toEqual({
      ready: true,
      node: 'serving',
      workers: [
        { id: 'cpu:0#1', device: 'cpu:0', state: 'ready', ready: true, reason: null },
        { id: 'b', device: 'cpu:0', state: 'defunct', ready: false, reason: 'it crashed 5 times' },
      ],
    });
  });

  it('is not ready otherwise, and says why', async () => {
    api.workers.splice(0, 1, workerDescription({ state: 'starting' }));
    const { status, json, headers } = await api.get('/health/ready');
    expect(status).toBe(503);
    expect(json).toMatchObject({
      code: 'not_ready',
      detail: 'cpu:0#1: it is starting',
      ready: false,
      workers: [{ ready: false, reason: 'it is starting' }],
    });
    expect(headers.get('retry-after')).toBe('2');
    api.workers.splice(0, 1);
    expect((await api.get('/health/ready')).json).toMatchObject({ detail: 'no worker was started', workers: [] });
  });

  it('gives metrics in the form of Prometheus', async () => {
    const { headers, text } = await api.get('/metrics');
    expect(headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(text).toMatch(/^# HELP safelight_/m);
  });

  it('shows the way at its root', async () => {
    const { json } = await api.get('/');
    for (const path of Object.values<string>(json.links)) expect((await api.get(path)).status).toBe(200);
  });

  it.each(['/nope', '/v1', '/v1/jobs/x/y', '/docs/nope', '/v1/../etc/passwd', '/%00', '/constructor', '/V2/jobs'])(
    'serves nothing at %s',
    async (path) => {
      const answer = await api.get(path);
      expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      expect(answer.json).toMatchObject({ status: 404, code: 'not_found', type: '/docs/errors#not_found' });
    },
  );

  it.each([
    ['DELETE', '/v1/jobs', 'GET, HEAD, POST'],
    ['PUT', '/v1/jobs/01a1fc57-d5c1-7938-ac1f-c0dda8c0662a', 'GET, HEAD'],
    ['GET', '/v1/jobs/01a1fc57-d5c1-7938-ac1f-c0dda8c0662a/cancel', 'POST'],
    ['POST', '/v1/models', 'GET, HEAD'],
    ['POST', '/health/live', 'GET, HEAD'],
    ['POST', '/openapi.json', 'GET, HEAD'],
    ['OPTIONS', '/v1/jobs', 'GET, HEAD, POST'],
  ])('does not take %s at %s', async (method, path, allow) => {
    const answer = await api.request(method, path, method === 'PUT' ? { body: 'x' } : {});
    expect(answer.json).toMatchObject({ status: 405, code: 'method_not_allowed' });
    expect(answer.headers.get('allow')).toBe(allow);
  });

  it('answers a broken address with 400', async () => {
    expect((await api.get('/v1/jobs/%zz')).json).toMatchObject({ status: 400, code: 'malformed_request' });
  });

  it('repeats no more of a long address than one can read', async () => {
    const answer = await api.get(`/${'x'.repeat(5_000)}`);
    expect(answer.json.instance).toHaveLength(200);
  });

  it('tells nothing of what failed inside', async () => {
    api.workers.push(null as never);
    const answer = await api.get('/v1/workers');
    expect(answer.json).toMatchObject({
      status: 500,
      code: 'internal',
      detail: 'the request failed inside the server',
    });
    expect(answer.text).not.toMatch(/null|TypeError|\.ts/);
  });

  it('protects browsers without sending them to HTTPS, and lets no other origin in', async () => {
    const { headers } = await api.get('/docs', { Origin: 'https://example.org' });
    expect(headers.get('content-security-policy')).toContain("default-src 'self'");
    expect(headers.get('content-security-policy')).not.toContain('upgrade-insecure-requests');
    expect(headers.get('strict-transport-security')).toBeNull();
    expect(headers.get('x-powered-by')).toBeNull();
    expect(headers.get('access-control-allow-origin')).toBeNull();
  });

  it('goes on after a client that went away in the middle of its body', async () => {
    const headers = { 'Content-Type': 'application/json', 'Content-Length': '1000' };
    await new Promise<void>((resolve) => {
      const sending = rawRequest(`${api.url}/v1/jobs`, { method: 'POST', headers });
      sending.on('error', () => undefined).on('close', resolve);
      sending.write('{"prompt": ', () => sending.destroy());
    });
    expect((await api.get('/health/live')).status).toBe(200);
    expect(await api.countJobs()).toBe(0);
  });
});
