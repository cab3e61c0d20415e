import { once } from 'node:events';

import { Server, ServerCredentials } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { pino } from 'pino';

import { frame, rawEnd, RawGrpc } from '../../../../test/support/grpc-raw.js';
import { eventually } from '../../../../test/support/signals.js';
import { AccessConfig } from '../../../config/access.config.js';
import type { ListModelsRequest, ListModelsResponse } from '../../../gen/safelight/v1/safelight.pb.js';
import { CatalogServiceService } from '../../../gen/safelight/v1/safelight.pb.js';
import { NoTracing } from '../../../telemetry/tracing/open-tracing.js';
import type { FinishedSpan, Tracing } from '../../../telemetry/tracing/tracing.js';
import type { SpanContext } from '../../../telemetry/tracing/trace-context.js';
import { Authenticate } from '../../access/authenticate.js';
import { incomingCalls } from './incoming-calls.js';

const KEY = 'sixteen-characters-and-more';
const WATCH = '/grpc.health.v1.Health/Watch';
const LIST = '/safelight.v1.CatalogService/ListModels';
const TRACE = '0af7651916cd43dd8448eb211c80319c';

const OFF: Tracing = new NoTracing();

describe('What is looked at before a message is read', () => {
  let server: Server;
  let raw: RawGrpc;
  let lines: Record<string, unknown>[];
  let handled: number;

  async function listen({ maxOpenCalls = 10, maxOpenProbes = 10, requestTimeoutMs = 10_000, tracing = OFF } = {}) {
    // Of this server alone: calls of the one before may end later.
    const own: Record<string, unknown>[] = (lines = []);
    handled = 0;
    const sink = { write: (line: string) => void own.push(JSON.parse(line) as Record<string, unknown>) };
    const interceptor = incomingCalls({
      authenticate: new Authenticate(new AccessConfig({ apiKey: KEY }), null),
      tracing,
      log: pino({ level: 'debug' }, sink),
      maxOpenCalls,
      maxOpenProbes,
      requestTimeoutMs,
    });
    server = new Server({ interceptors: [interceptor] });
    server.addService(CatalogServiceService, {
      listModels(_call: ListModelsRequest, answer: (error: null, response: ListModelsResponse) => void) {
        handled++;
        answer(null, { models: [] });
      },
      listWorkers: () => undefined,
    });
    new HealthImplementation({ '': 'SERVING' }).addToServer(server);
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    raw = await RawGrpc.connect(`127.0.0.1:${port}`);
  }
  afterEach(() => {
    raw.close();
    server.forceShutdown();
  });

  const headers = { 'x-api-key': KEY };

  it('refuses a call without a key before its message has come', async () => {
    await listen();
    const stream = raw.open(LIST);
    stream.resume();
    expect(await rawEnd(stream)).toMatchObject({ status: '16' });
    expect(handled).toBe(0);
  });

  it('gives up on a request that does not become whole', async () => {
    await listen({ requestTimeoutMs: 50 });
    const stream = raw.open(LIST, { headers });
    stream.resume();
    stream.write(frame(Buffer.alloc(1_000)).subarray(0, 100));
    expect(await rawEnd(stream)).toEqual({ status: '4', message: 'the request was not whole within 50 ms' });
    expect(handled).toBe(0);
  });

  it('has room for so many open calls, and for others once they are over', async () => {
    await listen({ maxOpenCalls: 2 });
    const open = [raw.open(LIST, { headers }), raw.open(LIST, { headers })];
    const refused = await raw.call(LIST, { headers, message: Buffer.alloc(0) });
    expect(refused).toEqual({ status: '14', message: 'more than 2 calls are open' });
    for (const stream of open) {
      stream.resume();
      stream.end(frame(Buffer.alloc(0)));
      expect(await rawEnd(stream)).toMatchObject({ status: '0' });
    }
    expect(await raw.call(LIST, { headers, message: Buffer.alloc(0) })).toMatchObject({ status: '0' });
  });

  it('leaves room for those with a key when those without one take all they can', async () => {
    await listen({ maxOpenCalls: 4, maxOpenProbes: 2 });
    const watching = [1, 2].map(() => raw.open(WATCH, { message: Buffer.alloc(0) }));
    for (const stream of watching) await once(stream, 'data');
    expect(await raw.call(WATCH, { message: Buffer.alloc(0) })).toEqual({
      status: '14',
      message: 'more than 2 calls without a key are open',
    });
    expect(await raw.call(LIST, { headers, message: Buffer.alloc(0) })).toMatchObject({ status: '0' });
    for (const stream of watching) stream.close();
    await eventually('one has gone', async () => {
      const stream = raw.open(WATCH, { message: Buffer.alloc(0) });
      const [told] = (await once(stream, 'response')) as [Record<string, string>];
      stream.close();
      return told['grpc-status'] === undefined ? true : null;
    });
  });

  it('logs each call once, when it is over', async () => {
    await listen();
    await raw.call(LIST, { headers, message: Buffer.alloc(0) });
    await raw.call(LIST, { message: Buffer.alloc(0) });
    await raw.call(LIST, { headers, message: Buffer.alloc(0) });
    // The line of the last call may come after its answer.
    expect(lines.slice(0, 2)).toMatchObject([
      { method: LIST, status: 'OK', ms: expect.any(Number), msg: 'call' },
      { method: LIST, status: 'UNAUTHENTICATED' },
    ]);
    expect(JSON.stringify(lines)).not.toContain(KEY);
  });

  it('makes a span of each call, below the one of its client', async () => {
    const spans: FinishedSpan[] = [];
    const tracing: Tracing = {
      isOn: true,
      begin: (parent: SpanContext | null) => ({
        traceId: parent?.traceId ?? 'f'.repeat(32),
        spanId: 'a'.repeat(16),
        sampled: true,
      }),
      record: (span: FinishedSpan) => void spans.push(span),
      close: () => Promise.resolve(),
    };
    await listen({ tracing });
    const traceparent = `00-${TRACE}-b7ad6b7169203331-01`;
    await raw.call(LIST, { headers: { ...headers, traceparent }, message: Buffer.alloc(0) });
    await raw.call(LIST, { message: Buffer.alloc(0) });
    expect(spans[0]).toMatchObject({
      context: { traceId: TRACE },
      parent: { traceId: TRACE, spanId: 'b7ad6b7169203331' },
      name: 'safelight.v1.CatalogService/ListModels',
      attributes: { 'rpc.system': 'grpc', 'rpc.method': 'ListModels', 'rpc.grpc.status_code': 0 },
      error: null,
    });
    expect(lines[0]).toMatchObject({ trace: TRACE });
  });
});
