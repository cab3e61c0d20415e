import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

import { pino } from 'pino';

import { startOtlpReceiver } from '../../../test/support/otlp-receiver.js';
import { eventually } from '../../../test/support/signals.js';
import { TelemetryConfig } from '../../config/telemetry.config.js';
import { openTracing } from './open-tracing.js';
import type { FinishedSpan, Tracing } from './tracing.js';

describe('spans sent over HTTP', () => {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  beforeEach(() => void (lines.length = 0));

  const open = (otlpEndpoint: string, changes: Partial<TelemetryConfig> = {}) =>
    openTracing({ config: new TelemetryConfig({ otlpEndpoint, ...changes }), node: 'one', version: '1.2.3', log });

  function span(tracing: Tracing, changes: Partial<FinishedSpan> = {}): FinishedSpan {
    return {
      context: tracing.begin(null),
      parent: null,
      name: 'work',
      kind: 'internal',
      startedAt: 1_700_000_000_123.5,
      endedAt: 1_700_000_001_000,
      attributes: { one: 1, words: ['a', 'b'], absent: null },
      error: null,
      ...changes,
    };
  }

  it('arrive whole, with times to the microsecond, under the name of the service', async () => {
    const receiver = await startOtlpReceiver();
    const tracing = await open(receiver.url, { serviceName: 'pictures' });
    try {
      const whole = span(tracing);
      const child = span(tracing, {
        context: tracing.begin(whole.context),
        parent: whole.context,
        name: 'part',
        error: 'oh',
      });
      tracing.record(whole);
      tracing.record(child);
      await tracing.close();

      const [first, second] = receiver.spans;
      expect(first).toMatchObject({
        traceId: whole.context.traceId,
        spanId: whole.context.spanId,
        parentSpanId: '',
        startedAt: 1_700_000_000_123.5,
        endedAt: 1_700_000_001_000,
        attributes: { one: 1, words: ['a', 'b'] },
        isError: false,
        resource: { 'service.name': 'pictures', 'service.version': '1.2.3', 'service.instance.id': 'one' },
      });
      expect(first?.attributes).not.toHaveProperty('absent');
      expect(second).toMatchObject({
        traceId: whole.context.traceId,
        parentSpanId: whole.context.spanId,
        isError: true,
      });
    } finally {
      await receiver.close();
    }
  });

  it('that are not sampled stay here', async () => {
    const receiver = await startOtlpReceiver();
    const tracing = await open(`${receiver.url}/`, { sampleRatio: 0 });
    tracing.record(span(tracing));
    const theirs = { traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8), sampled: true };
    tracing.record(span(tracing, { context: tracing.begin(theirs), parent: theirs, name: 'asked for' }));
    await tracing.close();
    expect(receiver.spans.map(({ name }) => name)).toEqual(['asked for']);
    await receiver.close();
  });

  it('are lost, which is told once, while nobody takes them', async () => {
    const tracing = await open('http://127.0.0.1:9');
    tracing.record(span(tracing));
    await eventually('the loss is told', () => Promise.resolve(lines.find(({ level }) => level === 40) ?? null));
    tracing.record(span(tracing));
    await tracing.close();
    expect(lines.filter(({ msg }) => /traces cannot be delivered/.test(String(msg)))).toHaveLength(1);
  });

  it('hold up the end for a bounded time when the receiver says nothing', async () => {
    const sockets: Socket[] = [];
    const silent: Server = createServer((socket) => void sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const tracing = await open(`http://127.0.0.1:${(silent.address() as AddressInfo).port}`);
    tracing.record(span(tracing));

    const beganAt = performance.now();
    await tracing.close();
    expect(performance.now() - beganAt).toBeLessThan(8_000);

    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => silent.close(resolve));
  });
});
