import { createServer } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { HttpCalls } from './http-calls.js';
import type { Sample } from './load.js';
import { sendLoad } from './load.js';
import { parseMix } from './mix.js';
import { NativeClient } from './native-client.js';
import { OpenAiClient } from './openai-client.js';
import { planRequests } from './plan.js';
import { diceOf } from '../support/dice.js';
import { figuresOf } from './figures.js';

const plan = planRequests(
  {
    arrivals: { pattern: 'burst', size: 3, ratePerSecond: null },
    requests: 3,
    mix: parseMix('64x64@20/high'),
    variants: 2,
  },
  diceOf(1),
);
const TERMS = { model: null, timeoutSeconds: 30 };

/** A server over a real socket that answers as the test says. */
class Scripted {
  readonly bodies: Record<string, unknown>[] = [];
  readonly headers: Record<string, unknown>[] = [];
  private readonly server: Server;

  constructor(answer: (response: ServerResponse, index: number) => void) {
    this.server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        this.bodies.push(JSON.parse(Buffer.concat(chunks).toString() || '{}'));
        this.headers.push(request.headers);
        answer(response, this.bodies.length - 1);
      });
    });
  }

  async use<T>(act: (calls: HttpCalls) => Promise<T>): Promise<T> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    const { port } = this.server.address() as AddressInfo;
    const calls = new HttpCalls(`http://127.0.0.1:${port}/v1`, 'secret');
    try {
      return await act(calls);
    } finally {
      calls.close();
      this.server.closeAllConnections();
      this.server.close();
    }
  }
}

const JOB = {
  id: '1',
  state: 'succeeded',
  created_at: '2026-01-01T00:00:00.000Z',
  started_at: '2026-01-01T00:00:00.250Z',
  finished_at: '2026-01-01T00:00:01.000Z',
  attempts: [],
  artifacts: [],
  failure: null,
};

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

const load = (calls: HttpCalls, concurrency: number | null = null) =>
  sendLoad(plan, new NativeClient(calls, TERMS), { concurrency, onEnded: () => undefined });

describe('a load', () => {
  it('sends all that is due although nothing was answered yet', async () => {
    const open: ServerResponse[] = [];
    const server = new Scripted((response) => {
      open.push(response);
      if (open.length === plan.length) for (const one of open) json(one, 200, JOB);
    });
    const samples = await server.use((calls) => load(calls));
    expect(samples.map(({ isHeldBack }) => isHeldBack)).toEqual([false, false, false]);
  });

  it('counts the time a request is held back by the bound on open ones', async () => {
    const server = new Scripted((response) => json(response, 200, JOB));
    const samples = await server.use((calls) => load(calls, 1));
    expect(samples.map(({ isHeldBack }) => isHeldBack)).toEqual([false, true, true]);
    // All were due at once: each ended after the one before it, and its time says so.
    const times = samples.map(({ request, endedMs }: Sample) => endedMs - request.dueMs);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(figuresOf(samples).endToEnd.p99).toBeGreaterThan(figuresOf(samples).sinceSent.p99);
  });

  it('asks for what the plan says, with the key', async () => {
    const server = new Scripted((response) => json(response, 200, JOB));
    await server.use((calls) => load(calls));
    expect(server.bodies[0]).toMatchObject({ width: 64, height: 64, num_inference_steps: 20, priority: 'high' });
    expect(server.headers[0]).toMatchObject({ authorization: 'Bearer secret', prefer: 'wait=30' });
  });
});

describe('the native dialect', () => {
  const drawn = (status: number, body: unknown) =>
    new Scripted((response) => json(response, status, body)).use((calls) =>
      new NativeClient(calls, TERMS).draw(plan[0]!.drawing, null),
    );

  it('tells the queue time of a success', async () =>
    expect(await drawn(200, JOB)).toMatchObject({ outcome: 'succeeded', reason: null, queueMs: 250 }));

  it('tells a refusal from a failure', async () => {
    expect(await drawn(429, { code: 'queue_full' })).toMatchObject({ outcome: 'refused', reason: 'queue_full' });
    expect(await drawn(503, { code: 'unavailable' })).toMatchObject({ outcome: 'failed', reason: 'unavailable' });
    const failed = { ...JOB, state: 'failed', failure: { kind: 'internal' } };
    expect(await drawn(200, failed)).toMatchObject({ outcome: 'failed', reason: 'internal' });
  });

  it('cancels what does not end in time', async () => {
    const server = new Scripted((response, index) =>
      json(response, index === 0 ? 202 : 200, { ...JOB, state: 'running', finished_at: null }),
    );
    const exchange = await server.use((calls) => new NativeClient(calls, TERMS).draw(plan[0]!.drawing, null));
    expect(exchange).toMatchObject({ outcome: 'failed', reason: 'not_in_time' });
    expect(server.bodies).toHaveLength(2);
  });

  it('is a failure where nobody answers', async () => {
    const server = new Scripted((response) => response.destroy());
    const exchange = await server.use((calls) => new NativeClient(calls, TERMS).draw(plan[0]!.drawing, null));
    expect(exchange).toMatchObject({ outcome: 'failed', reason: 'ECONNRESET' });
  });
});

describe('the OpenAI dialect', () => {
  const drawn = (server: Scripted) =>
    server.use((calls) => new OpenAiClient(calls, TERMS).draw(plan[0]!.drawing, 'low'));

  it('asks with its own words and takes the picture from the answer', async () => {
    const file = Buffer.from('a picture');
    const server = new Scripted((response) => json(response, 200, { data: [{ b64_json: file.toString('base64') }] }));
    const exchange = await drawn(server);
    expect(exchange).toMatchObject({ outcome: 'succeeded', queueMs: null });
    expect(await exchange.pictures()).toEqual([file]);
    expect(server.bodies[0]).toMatchObject({ size: '64x64', n: 1, num_inference_steps: 20, priority: 'low' });
  });

  it('tells a refusal from a failure', async () => {
    const limited = new Scripted((response) => json(response, 429, { error: { code: 'rate_limit_exceeded' } }));
    expect(await drawn(limited)).toMatchObject({ outcome: 'refused', reason: 'rate_limit_exceeded' });
    const empty = new Scripted((response) => json(response, 200, { data: [] }));
    expect(await drawn(empty)).toMatchObject({ outcome: 'failed', reason: 'no_pictures' });
    const proxy = new Scripted((response) => response.writeHead(502).end('<html>'));
    expect(await drawn(proxy)).toMatchObject({ outcome: 'failed', reason: '502' });
  });
});
