import { once } from 'node:events';
import { request as httpRequest } from 'node:http';

import { pino } from 'pino';

import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { eventually } from '../../../test/support/signals.js';
import { AccessConfig } from '../../config/access.config.js';
import { LogConfig } from '../../config/log.config.js';
import type { SpanContext } from '../../telemetry/tracing/trace-context.js';
import { newSpanContext, parseTraceparent } from '../../telemetry/tracing/trace-context.js';
import type { FinishedSpan } from '../../telemetry/tracing/tracing.js';
import { Tracing } from '../../telemetry/tracing/tracing.js';

type Line = Readonly<Record<string, unknown>>;

/** Keeps what it is given. */
class KeptTraces extends Tracing {
  readonly isOn = true;
  readonly spans: FinishedSpan[] = [];

  begin(parent: SpanContext | null): SpanContext {
    return newSpanContext(parent, 1);
  }

  record(span: FinishedSpan): void {
    this.spans.push(span);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

describe('each HTTP request', () => {
  let api: RunningApi;
  let traces: KeptTraces;
  const lines: Line[] = [];
  const log = pino(
    { level: 'debug', base: null },
    { write: (line: string) => void lines.push(JSON.parse(line) as Line) },
  );
  beforeAll(async () => {
    traces = new KeptTraces();
    api = await startApi({ log, tracing: traces });
  });
  afterAll(() => api.close());
  beforeEach(() => {
    lines.length = 0;
    traces.spans.length = 0;
  });

  const lineOf = (id: string): Promise<Line> =>
    eventually(`the line of request ${id}`, () =>
      Promise.resolve(lines.find((line) => line['request'] === id) ?? null),
    );

  it('is one line of the log when it is answered', async () => {
    const { headers, json } = await api.post('/v1/jobs?x=secret', { prompt: 'a red circle' });
    const line = await lineOf(headers.get('x-request-id')!);
    expect(line).toMatchObject({
      level: 30,
      msg: 'request',
      method: 'POST',
      path: '/v1/jobs',
      route: '/v1/jobs',
      status: 202,
      job: json.id,
      trace: expect.stringMatching(/^[\da-f]{32}$/),
    });
    expect(line['ms']).toBeGreaterThan(0);
    expect(line['bytes']).toBeGreaterThan(JSON.stringify(json.request).length);
    expect(line).not.toHaveProperty('closed_early');
    expect(JSON.stringify(lines)).not.toMatch(/secret|red circle/);
  });

  it('names the job in its address and the route, not the address, in metrics', async () => {
    const { json } = await api.post('/v1/jobs', { prompt: 'a red circle' });
    const { headers } = await api.get(`/v1/jobs/${json.id}`, { 'X-Request-Id': 'mine' });
    expect(headers.get('x-request-id')).toBe('mine');
    expect(await lineOf('mine')).toMatchObject({ route: '/v1/jobs/:id', job: json.id, status: 200 });
    const { text } = await api.get('/metrics');
    expect(text).toMatch(
      /safelight_http_request_seconds_count\{method="GET",route="\/v1\/jobs\/:id",status="200"\} \d/,
    );
    expect(text).not.toContain(json.id);
  });

  it.each([
    ['one that could forge a line', 'a\tb {"level":60}'],
    ['one that is too long', 'x'.repeat(129)],
    ['none', undefined],
  ])('gets an id of ours instead of %s', async (_case, given) => {
    const { headers } = await api.get('/v1/node', given === undefined ? {} : { 'X-Request-Id': given });
    expect(headers.get('x-request-id')).toMatch(/^[\da-f]{8}-[\da-f-]{27}$/);
  });

  it('has no route where nothing is served, whatever the path', async () => {
    const { headers, status } = await api.get('/wp-admin/../.env');
    expect(status).toBe(404);
    const line = await lineOf(headers.get('x-request-id')!);
    expect(line).toMatchObject({ status: 404, route: null });
    const { text } = await api.get('/metrics');
    expect(text).toContain('safelight_http_request_seconds_count{method="GET",route="none",status="404"} 1');
  });

  it('is not worth a line at info, nor a span, when it is a probe', async () => {
    const { headers } = await api.get('/health/live');
    expect(await lineOf(headers.get('x-request-id')!)).toMatchObject({ level: 20, route: '/health/live' });
    expect(traces.spans).toEqual([]);
  });

  it('is told of in one line too when it follows a job and its client leaves', async () => {
    const { json } = await api.post('/v1/jobs', { prompt: 'a red circle' });
    const following = httpRequest(`${api.url}/v1/jobs/${json.id}/events`, { headers: { 'X-Request-Id': 'follower' } });
    following.on('error', () => undefined);
    following.end();
    await once(following, 'response');
    following.destroy();
    expect(await lineOf('follower')).toMatchObject({ status: 200, closed_early: true, job: json.id });
    const { text } = await api.get('/metrics');
    // That of the question itself.
    expect(text).toContain('safelight_http_requests_in_flight 1');
  });

  it('is a span below the one its traceparent names, and so is the job it submits', async () => {
    const parent = { traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8), sampled: true };
    const traceparent = `00-${parent.traceId}-${parent.spanId}-01`;
    const { json } = await api.post('/v1/jobs', { prompt: 'a red circle' }, { traceparent });
    const span = await eventually('the span', () => Promise.resolve(traces.spans[0] ?? null));
    expect(span).toMatchObject({ name: 'POST /v1/jobs', kind: 'server', parent, context: { traceId: parent.traceId } });
    expect(span.attributes).toMatchObject({ 'http.route': '/v1/jobs', 'http.response.status_code': 202 });
    expect(parseTraceparent((await api.store.get(json.id))?.trace ?? undefined)).toEqual(span.context);
  });

  it('that is not sampled leaves its jobs without a trace', async () => {
    const traceparent = `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-00`;
    const { json } = await api.post(
      '/v1/jobs/batch',
      { requests: [{ prompt: 'one' }, { prompt: 'two' }] },
      { traceparent },
    );
    for (const { id } of json.data) expect((await api.store.get(id))?.trace).toBeNull();
  });

  it('names the key it was sent with, and is not logged when the settings say so', async () => {
    const keyed = await startApi({
      log,
      access: { apiKey: 'sixteen-characters-and-more' } satisfies Partial<AccessConfig>,
    });
    const quiet = await startApi({ log, logConfig: new LogConfig({ requests: false }) });
    try {
      const bearer = { Authorization: 'Bearer sixteen-characters-and-more' };
      await keyed.get('/v1/jobs', { ...bearer, 'X-Request-Id': 'with-key' });
      await quiet.get('/v1/jobs', { 'X-Request-Id': 'quiet' });
      await keyed.get('/v1/jobs', { 'X-Request-Id': 'without-key' });
      expect(await lineOf('with-key')).toMatchObject({ client: 'environment', status: 200 });
      expect(await lineOf('without-key')).toMatchObject({ status: 401 });
      expect(lines.some((line) => line['request'] === 'quiet')).toBe(false);
      expect(JSON.stringify(lines)).not.toContain('sixteen-characters');
    } finally {
      await keyed.close();
      await quiet.close();
    }
  });
});

describe('a request that fails inside the server', () => {
  it('is told of with its id, its job and where it failed', async () => {
    const lines: Line[] = [];
    const log = pino(
      { level: 'info', base: null },
      { write: (line: string) => void lines.push(JSON.parse(line) as Line) },
    );
    const api = await startApi({ log });
    try {
      const { json } = await api.post('/v1/jobs', { prompt: 'a red circle' });
      await api.succeed(await api.claim());
      api.store.get = () => Promise.reject(new Error('a defect'));
      const { status } = await api.get(`/v1/jobs/${json.id}`, { 'X-Request-Id': 'broken' });
      expect(status).toBe(500);
      expect(lines.find(({ msg }) => msg === 'a request failed')).toMatchObject({
        level: 50,
        request: 'broken',
        job: json.id,
        method: 'GET',
        err: { type: 'Error', message: 'a defect', stack: expect.stringContaining('observe-requests.spec') },
      });
      const line = await eventually('its line', () =>
        Promise.resolve(lines.find(({ msg, request }) => msg === 'request' && request === 'broken') ?? null),
      );
      expect(line).toMatchObject({ level: 40, status: 500 });
    } finally {
      await api.close();
    }
  });
});
