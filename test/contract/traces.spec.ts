import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { pino } from 'pino';

import { loadSettings } from '../../src/config/load-settings.js';
import type { RunningServer } from '../../src/server.js';
import { startServer } from '../../src/server.js';
import type { OtlpReceiver, ReceivedSpan } from '../support/otlp-receiver.js';
import { startOtlpReceiver } from '../support/otlp-receiver.js';

/** A worker process that speaks the contract and draws nothing, and one that ends at once. */
const NULL_WORKER = resolve('python-worker/bench/null_worker/launch');
const NO_WORKER = '/bin/false';

const CALLER = { traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8) };
const SECRET = `whsec_${Buffer.from('twenty-four random bytes').toString('base64')}`;

interface JobJson {
  readonly id: string;
  readonly state: string;
}

describe('traces from HTTP through the queue to the phases of a worker', () => {
  let folder: string;
  let servers: RunningServer[];
  let receiver: OtlpReceiver;
  let hooks: Server;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-traces-'));
    servers = [];
    receiver = await startOtlpReceiver();
    hooks = createServer((request, response) => void request.resume().on('end', () => response.writeHead(204).end()));
    hooks.listen(0, '127.0.0.1');
    await once(hooks, 'listening');
  });
  afterEach(async () => {
    for (const server of servers) await server.close();
    await receiver.close();
    hooks.closeAllConnections();
    hooks.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function start(python: string, env: Record<string, string> = {}): Promise<RunningServer> {
    const settings = loadSettings({
      env: {
        SAFELIGHT_DATA_DIR: folder,
        SAFELIGHT_NODE_NAME: 'one',
        SAFELIGHT_DEVICES_IDS: 'cpu:0',
        SAFELIGHT_WORKERS_PYTHON: python,
        SAFELIGHT_WEBHOOKS_SECRET: SECRET,
        SAFELIGHT_WEBHOOKS_ALLOW_PRIVATE_ADDRESSES: 'true',
        // By the variable everybody knows.
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        ...env,
      },
      cwd: folder,
      homeDir: folder,
    });
    const server = await startServer(settings, { log: pino({ level: 'silent' }), port: 0 });
    servers.push(server);
    return server;
  }

  async function submit(server: RunningServer, prefer = ''): Promise<JobJson> {
    const webhook = `http://127.0.0.1:${(hooks.address() as AddressInfo).port}/hook`;
    const response = await fetch(`${server.url}/v1/jobs`, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        traceparent: `00-${CALLER.traceId}-${CALLER.spanId}-01`,
        ...(prefer === '' ? {} : { Prefer: prefer }),
      },
      body: JSON.stringify({ prompt: 'a red circle', webhook }),
    });
    return (await response.json()) as JobJson;
  }

  /** The span of a name, and the name of the one it is below. */
  function below(spans: readonly ReceivedSpan[], name: string): string {
    const span = spans.find((one) => one.name === name);
    if (span?.parentSpanId === CALLER.spanId) return 'the caller';
    return spans.find(({ spanId }) => spanId === span?.parentSpanId)?.name ?? 'nobody';
  }

  function expectOneTrace(spans: readonly ReceivedSpan[]): void {
    const ours = spans.filter(({ traceId }) => traceId === CALLER.traceId);
    const names = ['POST /v1/jobs', 'job', 'queue wait', 'attempt', 'save', 'webhook'];
    expect(ours.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
    expect(names.map((name) => below(ours, name))).toEqual([
      'the caller',
      'POST /v1/jobs',
      'job',
      'job',
      'attempt',
      'job',
    ]);
  }

  it('are one trace: request, job, wait, attempt, phase, webhook', async () => {
    const server = await start(NULL_WORKER);
    const job = await submit(server, 'wait=60');
    expect(job.state).toBe('succeeded');
    const spans = await receiver.having('POST /v1/jobs', 'job', 'webhook');
    expectOneTrace(spans);
    expect(spans.find(({ name }) => name === 'attempt')?.attributes).toMatchObject({
      'safelight.job.id': job.id,
      'safelight.attempt.number': 1,
      'safelight.attempt.outcome': 'succeeded',
      'safelight.worker': 'cpu-0',
      'safelight.node': 'one',
    });
    expect(spans.find(({ name }) => name === 'webhook')?.attributes).toMatchObject({
      'http.response.status_code': 204,
      'safelight.webhook.outcome': 'delivered',
    });
    expect(JSON.stringify(spans)).not.toContain('a red circle');
  });

  it('are one trace also when the server that took the job is gone, and another runs it', async () => {
    const first = await start(NO_WORKER);
    const { id, state } = await submit(first);
    expect(state).toBe('queued');
    await first.close();
    // Sent as it stopped.
    expect(receiver.spans.map(({ name }) => name)).toEqual(['POST /v1/jobs']);

    await start(NULL_WORKER, { SAFELIGHT_NODE_NAME: 'two' });
    const spans = await receiver.having('job', 'webhook');
    expectOneTrace(spans);
    expect(spans.find(({ name }) => name === 'job')?.attributes['safelight.job.id']).toBe(id);
    expect(spans.find(({ name }) => name === 'attempt')?.attributes['safelight.node']).toBe('two');
  });

  it('that nobody takes harm no job, and do not hold up the end', async () => {
    const server = await start(NULL_WORKER, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' });
    expect((await submit(server, 'wait=60')).state).toBe('succeeded');
    const beganAt = performance.now();
    await server.close();
    expect(performance.now() - beganAt).toBeLessThan(15_000);
    expect(receiver.spans).toEqual([]);
  });
});
