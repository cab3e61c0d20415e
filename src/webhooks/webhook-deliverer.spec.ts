import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingHttpHeaders, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';
import { Webhook } from 'standardwebhooks';

import { newJob } from '../../test/support/jobs.js';
import { eventually } from '../../test/support/signals.js';
import { DatabaseConfig } from '../config/database.config.js';
import { WebhooksConfig } from '../config/webhooks.config.js';
import { InProcessJobEvents } from '../events/in-process-job-events.js';
import { Clock } from '../jobs/ports/clock.port.js';
import type { Stores } from '../persistence/open-stores.js';
import { openStores } from '../persistence/open-stores.js';
import type { Occurrence } from '../telemetry/occurrences.js';
import { Occurrences } from '../telemetry/occurrences.js';
import { NoTracing } from '../telemetry/tracing/open-tracing.js';
import { WebhookDeliverer } from './webhook-deliverer.js';

const SECRET = `whsec_${Buffer.from('twenty-four random bytes').toString('base64')}`;

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** The time, which a test may move on. */
class MovableClock extends Clock {
  private aheadMs = 0;

  now(): number {
    return Date.now() + this.aheadMs;
  }

  advance(ms: number): void {
    this.aheadMs += ms;
  }
}

describe('WebhookDeliverer', () => {
  let folder: string;
  let stores: Stores;
  let events: InProcessJobEvents;
  let clock: MovableClock;
  let receiver: Server;
  let received: Received[];
  let answer: (response: ServerResponse, nth: number) => void;
  let deliverers: WebhookDeliverer[];
  let occurrences: Occurrences;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-webhooks-'));
    stores = await openStores({ database: new DatabaseConfig(), dataDir: folder, log: pino({ level: 'silent' }) });
    events = new InProcessJobEvents();
    clock = new MovableClock();
    deliverers = [];
    occurrences = new Occurrences();
    received = [];
    answer = (response) => response.writeHead(204).end();
    receiver = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => answer(response, received.push({ headers: request.headers, body })));
    });
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  });
  afterEach(async () => {
    for (const deliverer of deliverers) await deliverer.stop();
    receiver.closeAllConnections();
    await new Promise((resolve) => receiver.close(resolve));
    await stores.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function startDeliverer(config: Partial<WebhooksConfig> = {}): WebhookDeliverer {
    const settings = new WebhooksConfig({ secret: SECRET, allowPrivateAddresses: true, timeoutMs: 5000, ...config });
    const log = pino({ level: 'silent' });
    const deliverer = new WebhookDeliverer(
      stores.deliveries,
      stores.jobs,
      events,
      clock,
      settings,
      occurrences,
      new NoTracing(),
      log,
    );
    deliverers.push(deliverer);
    deliverer.start();
    return deliverer;
  }

  /** A job that names the receiver and is cancelled at once. */
  async function finalJob(at: Server = receiver, host = '127.0.0.1'): Promise<string> {
    const job = newJob({ createdAt: clock.now() });
    const webhook = `http://${host}:${(at.address() as AddressInfo).port}/hooks`;
    await stores.jobs.insert([{ ...job, request: { ...job.request, webhook } }], { maxWaiting: 1000 }, null);
    const cancelled = await stores.jobs.requestCancel(job.id, clock.now());
    events.publish(cancelled.events);
    return job.id;
  }

  const reports = (id: string, state: string) =>
    eventually(`the message is ${state}`, async () => {
      const report = await stores.deliveries.of(id);
      return report?.state === state ? report : null;
    });

  const tried = (id: string, tries: number) =>
    eventually(`${tries} tries`, async () => {
      const report = await stores.deliveries.of(id);
      return report?.tries === tries ? report : null;
    });

  /** Makes the deliverer look again at once, as its timer would after the time the clock was moved by. */
  async function later(ms: number): Promise<void> {
    clock.advance(ms);
    const stopped = deliverers.pop();
    await stopped?.stop();
    startDeliverer();
  }

  it('tells that a job is final, signed so that the receiver can check it', async () => {
    startDeliverer();
    const id = await finalJob();
    const report = await reports(id, 'delivered');
    expect(report).toMatchObject({ tries: 1, lastStatus: 204, nextAt: null });
    const [message] = received;
    const payload = new Webhook(SECRET).verify(message!.body, message!.headers as Record<string, string>);
    expect(payload).toMatchObject({ type: 'job.cancelled', data: { id, state: 'cancelled', artifacts: [] } });
    expect(message!.headers['webhook-id']).toBe(report.messageId);
  });

  it('has its tries counted by how they ended', async () => {
    const noted: Occurrence[] = [];
    occurrences.on((occurrence) => noted.push(occurrence));
    const statuses = [500, 204, 410];
    answer = (response, nth) => response.writeHead(statuses[nth - 1]!).end();
    startDeliverer();
    const id = await finalJob();
    await tried(id, 1);
    await later(60 * 60_000);
    await reports(id, 'delivered');
    await reports(await finalJob(), 'given_up');
    expect(noted.map((each) => [each.type, each.type === 'webhook' && each.outcome])).toEqual([
      ['webhook', 'failed'],
      ['webhook', 'delivered'],
      ['webhook', 'given_up'],
    ]);
  });

  it('signs with its own secret: another one does not verify', async () => {
    startDeliverer();
    await reports(await finalJob(), 'delivered');
    const other = new Webhook(`whsec_${Buffer.from('another twenty-four bytes').toString('base64')}`);
    expect(() => other.verify(received[0]!.body, received[0]!.headers as Record<string, string>)).toThrow(
      'No matching signature found',
    );
  });

  it('delivers what was left by a server that ended before it could', async () => {
    const id = await finalJob();
    startDeliverer();
    await reports(id, 'delivered');
    expect(received).toHaveLength(1);
  });

  it('repeats a message under the same id until it is taken', async () => {
    answer = (response, nth) => response.writeHead(nth < 3 ? 500 : 200).end();
    startDeliverer();
    const id = await finalJob();
    expect(await tried(id, 1)).toMatchObject({ state: 'pending', lastStatus: 500, lastError: 'answered 500' });
    await later(6000);
    await tried(id, 2);
    await later(6 * 60_000);
    await reports(id, 'delivered');
    expect(new Set(received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(received).toHaveLength(3);
  });

  it('gives up when the receiver says that it is gone', async () => {
    answer = (response) => response.writeHead(410).end();
    startDeliverer();
    expect(await reports(await finalJob(), 'given_up')).toMatchObject({ lastStatus: 410, nextAt: null });
  });

  it('does not wait for ever for an answer', async () => {
    answer = () => undefined;
    startDeliverer({ timeoutMs: 100 });
    const report = await tried(await finalJob(), 1);
    expect(report).toMatchObject({ state: 'pending', lastStatus: null, lastError: 'did not answer within 100 ms' });
  });

  it('sends nothing to a private address unless that is allowed', async () => {
    startDeliverer({ allowPrivateAddresses: false });
    for (const host of ['127.0.0.1', 'localhost']) {
      const report = await tried(await finalJob(receiver, host), 1);
      expect(report.lastError).toContain('private address');
    }
    expect(received).toEqual([]);
  });

  it('does not follow a redirect', async () => {
    answer = (response) => response.writeHead(302, { location: '/elsewhere' }).end();
    startDeliverer();
    expect(await tried(await finalJob(), 1)).toMatchObject({ state: 'pending', lastStatus: 302 });
    expect(received).toHaveLength(1);
  });

  it('counts an answer that is none as a failed try: one that changes the protocol', async () => {
    answer = ({ socket }) =>
      socket?.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
    startDeliverer();
    const report = await tried(await finalJob(), 1);
    expect(report).toMatchObject({
      state: 'pending',
      lastStatus: null,
      lastError: 'closed the connection without an answer',
    });
  });

  it('delivers to others while a receiver with many messages does not answer', async () => {
    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    try {
      const ids = await Promise.all(Array.from({ length: 400 }, () => finalJob(silent)));
      startDeliverer({ timeoutMs: 120_000 });
      await reports(await finalJob(), 'delivered');
      for (const id of ids) expect(await stores.deliveries.of(id)).toMatchObject({ state: 'pending', tries: 0 });
    } finally {
      silent.closeAllConnections();
      await new Promise((resolve) => silent.close(resolve));
    }
  });

  it('delivers all of many messages to one receiver, a bounded number at a time', async () => {
    const open: ServerResponse[] = [];
    const arrived = Promise.withResolvers<void>();
    answer = (response, nth) => {
      open.push(response);
      if (nth === 8) arrived.resolve();
    };
    const ids = await Promise.all(Array.from({ length: 40 }, () => finalJob()));
    startDeliverer();
    await arrived.promise;
    expect(received).toHaveLength(8);
    answer = (response) => response.writeHead(204).end();
    for (const response of open) response.writeHead(204).end();
    for (const id of ids) await reports(id, 'delivered');
    expect(received).toHaveLength(40);
  });

  it('ends at once although a receiver does not answer, and the message is not lost', async () => {
    const arrived = Promise.withResolvers<void>();
    answer = (response, nth) => (nth === 1 ? arrived.resolve() : void response.writeHead(204).end());
    const deliverer = startDeliverer();
    const id = await finalJob();
    await arrived.promise;
    await deliverer.stop();
    expect(await stores.deliveries.of(id)).toMatchObject({ state: 'pending', tries: 0 });
    await later(60_000);
    await reports(id, 'delivered');
  });
});
