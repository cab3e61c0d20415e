import { Writable } from 'node:stream';

import { Client } from 'pg';
import { pino } from 'pino';

import type { ClosableJobEvents } from '../../src/events/closable-job-events.js';
import { openJobEvents } from '../../src/events/open-job-events.js';
import type { TestDatabase } from '../support/postgres.js';
import { newDatabase, NO_POSTGRES, postgresUrl } from '../support/postgres.js';
import { eventually } from '../support/signals.js';
import { StallingProxy } from '../support/stalling-proxy.js';
import { allHeard, describeJobEvents, frameOf, jobEvent, progressAt, stateOf } from './job-events.suite.js';

const SILENT = pino({ level: 'silent' });

const describeOnPostgres = postgresUrl === null ? describe.skip : describe;

let database: TestDatabase;
let opened: ClosableJobEvents[] = [];

beforeAll(async () => {
  if (postgresUrl !== null) database = await newDatabase();
});

afterEach(async () => {
  await Promise.all(opened.map((events) => events.close()));
  opened = [];
});

afterAll(async () => {
  if (postgresUrl !== null) await database.drop();
});

async function node(id: string, { databaseUrl = database.url, log = SILENT } = {}) {
  const events = await openJobEvents({ databaseUrl, node: { id, name: id }, log });
  opened.push(events);
  return events;
}

async function twoNodes() {
  return { there: await node('node-a'), here: await node('node-b') };
}

/** Somebody else who listens on the channel; every payload it got, whoever sent it. */
async function eavesdrop() {
  const client = new Client({ connectionString: database.url });
  const payloads: string[] = [];
  client.on('notification', ({ payload }) => payloads.push(payload ?? ''));
  await client.connect();
  await client.query('LISTEN safelight');
  return {
    payloads,
    say: (payload: string) => client.query(`SELECT pg_notify('safelight', $1)`, [payload]),
    /** How many connections of nodes were ended. */
    endOthers: async () => {
      const { rowCount } = await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'safelight events'`,
      );
      return rowCount;
    },
    stop: () => client.end(),
  };
}

function heardGap(events: ClosableJobEvents): Promise<void> {
  return new Promise((resolve) => {
    const leave = events.onGap(() => {
      leave();
      resolve();
    });
  });
}

/** A log whose records can be read. */
function records() {
  const lines: Record<string, unknown>[] = [];
  const stream = new Writable({
    write(line: Buffer, _encoding, done) {
      lines.push(JSON.parse(line.toString()) as Record<string, unknown>);
      done();
    },
  });
  return { lines, log: pino({ level: 'debug' }, stream) };
}

async function oneNode() {
  const events = await node('node-a');
  return { there: events, here: events };
}

describeOnPostgres(`PostgreSQL (skipped when ${NO_POSTGRES})`, () => {
  describeJobEvents('PostgresJobEvents on one node', oneNode, 'here');
  describeJobEvents('PostgresJobEvents between two nodes', twoNodes, 'elsewhere');
});

describeOnPostgres('PostgresJobEvents', () => {
  it('hears nothing of what it said itself a second time', async () => {
    const ends = await twoNodes();
    const heard: string[] = [];
    ends.there.onAny(({ jobId }, origin) => heard.push(`${jobId} ${origin}`));
    ends.there.publish([jobEvent('a', 1)]);
    await allHeard(ends);
    ends.here.publish([jobEvent('b', 1)]);
    await allHeard({ there: ends.here, here: ends.there });
    expect(heard.filter((each) => !each.startsWith('fence'))).toEqual(['a here', 'b elsewhere']);
  });

  it('puts many events into few payloads, each within what PostgreSQL takes', async () => {
    const ends = await twoNodes();
    const ear = await eavesdrop();
    ends.there.publish(Array.from({ length: 500 }, (_, at) => jobEvent('a', at + 1)));
    await allHeard(ends);
    await eventually('the payloads', async () => ear.payloads.some((each) => each.includes('fence')) || null);
    await ear.stop();
    expect(ear.payloads.length).toBeGreaterThan(1);
    expect(ear.payloads.length).toBeLessThan(30);
    expect(Math.max(...ear.payloads.map((each) => Buffer.byteLength(each)))).toBeLessThanOrEqual(6000);
  });

  it('drops what no payload can hold, says so, and has the others read the store', async () => {
    const { lines, log } = records();
    const ends = { there: await node('node-a', { log }), here: await node('node-b') };
    const gap = heardGap(ends.here);
    const heard: number[] = [];
    ends.here.onJob('a', ({ seq }) => heard.push(seq));
    const tooLarge = jobEvent('a', 2, { type: 'artifact', index: 0, sha256: 'a'.repeat(9000), seed: '1' });
    ends.there.publish([jobEvent('a', 1), tooLarge, jobEvent('a', 3)]);
    await allHeard(ends);
    await allHeard(ends);
    await gap;
    await ends.there.close();
    expect(heard).toEqual([1, 3]);
    expect(lines).toContainEqual(expect.objectContaining({ level: 40, dropped: 1 }));
  });

  it('goes on after its connections were ended, and has everybody read the store', async () => {
    const ends = await twoNodes();
    const ear = await eavesdrop();
    const leave = ends.here.onPreview('a', () => undefined);
    const gaps = [heardGap(ends.there), heardGap(ends.here)];
    expect(await ear.endOthers()).toBe(2);
    await Promise.all(gaps);
    const heard: number[] = [];
    ends.here.onJob('a', ({ seq }) => heard.push(seq));
    ends.there.publish([jobEvent('a', 7)]);
    await allHeard(ends);
    expect(heard).toEqual([7]);
    await eventually('the interest is told again', async () => ends.there.previewsWatched('a') || null);
    leave();
    await ear.stop();
  });

  it('does not open where no database answers', async () => {
    const closed = await StallingProxy.start({ host: '127.0.0.1', port: 1 });
    await closed.stop();
    const databaseUrl = `postgres://root@127.0.0.1:${closed.port}/test`;
    await expect(node('node-a', { databaseUrl })).rejects.toMatchObject({ name: 'EventChannelUnavailableError' });
  });

  it('passes over what it does not understand', async () => {
    const ends = await twoNodes();
    const ear = await eavesdrop();
    const heard: string[] = [];
    ends.here.onAny(({ jobId }) => heard.push(jobId));
    const known = JSON.stringify({ kind: 'event', event: jobEvent('a', 1) });
    for (const payload of [
      '',
      'noise',
      'node-x {"kind":"event"}',
      'node-x [1, null, {"kind":"event","event":{"jobId":7}}]',
      `node-x [{"kind":"of a later version"},${known}]`,
    ])
      await ear.say(payload);
    await allHeard(ends);
    await ear.stop();
    expect(heard[0]).toBe('a');
    expect(heard).toHaveLength(2);
  });

  it('tells progress at a pace, the latest of each interval, and all else at once', async () => {
    const ends = await twoNodes();
    const heard: string[] = [];
    const latest = Promise.withResolvers<void>();
    ends.here.onJob('a', ({ seq, body }) => {
      heard.push(`${body.type} ${seq}`);
      if (seq === 51) latest.resolve();
    });
    const progress = (from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, at) => jobEvent('a', from + at, progressAt(from + at)));
    ends.there.publish([
      ...progress(1, 40),
      jobEvent('a', 41, { type: 'phase', phase: 'decode', attempt: 1 }),
      ...progress(42, 51),
    ]);
    await latest.promise;
    expect(heard).toEqual(['progress 1', 'phase 41', 'progress 51']);
  });

  it('sends no frame while nobody elsewhere watches, one that watches here included', async () => {
    const ends = await twoNodes();
    const ear = await eavesdrop();
    ends.there.onPreview('a', () => undefined);
    ends.there.publishPreview(frameOf('a'));
    await allHeard(ends);
    await eventually('the payloads', async () => ear.payloads.some((each) => each.includes('fence')) || null);
    await ear.stop();
    expect(ear.payloads.filter((each) => each.includes('"frame"'))).toEqual([]);
    expect(ends.here.latestPreview('a')).toBeNull();
  });

  it('ends the interest of a node that stops', async () => {
    const ends = await twoNodes();
    ends.here.onPreview('a', () => undefined);
    await eventually('the watcher is known', async () => ends.there.previewsWatched('a') || null);
    await ends.here.close();
    await eventually('nobody watches', async () => !ends.there.previewsWatched('a') || null);
  });

  describe('over a network that stalls', () => {
    let proxy: StallingProxy;
    let through: string;

    beforeEach(async () => {
      const { hostname, port } = new URL(database.url);
      proxy = await StallingProxy.start({ host: hostname, port: Number(port || 5432) });
      const url = new URL(database.url);
      url.host = `127.0.0.1:${proxy.port}`;
      through = url.href;
    });

    afterEach(() => proxy.stop());

    it('holds a bounded number of events, counts what it drops, and has the others read the store', async () => {
      const { lines, log } = records();
      const ends = { there: await node('node-a', { databaseUrl: through, log }), here: await node('node-b') };
      const gap = heardGap(ends.here);
      let heard = 0;
      ends.here.onJob('a', () => (heard += 1));
      proxy.stall();
      ends.there.publish(Array.from({ length: 25_000 }, (_, at) => jobEvent('a', at + 1, stateOf('running'))));
      proxy.resume();
      await gap;
      await allHeard(ends);
      await ends.there.close();
      expect(heard).toBe(10_000);
      expect(lines).toContainEqual(expect.objectContaining({ level: 40, dropped: 15_000 }));
    });

    it('tries until the database is back, and tells nothing of the time between as if it were now', async () => {
      const { lines, log } = records();
      const ends = { there: await node('node-a', { databaseUrl: through, log }), here: await node('node-b') };
      const heard: number[] = [];
      ends.here.onJob('a', ({ seq }) => heard.push(seq));
      const failures = () => lines.filter(({ msg }) => msg === 'the channel of events is still closed').length;
      proxy.cut();
      await eventually('several tries failed', async () => failures() > 1 || null);
      ends.there.publish([jobEvent('a', 1)]);
      await eventually('the event was given up', async () => failures() > 2 || null);
      const gaps = [heardGap(ends.there), heardGap(ends.here)];
      proxy.resume();
      await Promise.all(gaps);
      ends.there.publish([jobEvent('a', 2)]);
      await allHeard(ends);
      expect(heard).toEqual([2]);
    });

    it('leaves the others alone while it does not read', async () => {
      const slow = await node('node-slow', { databaseUrl: through });
      const ends = await twoNodes();
      proxy.stall();
      for (let round = 0; round < 3; round += 1) {
        ends.there.publish(Array.from({ length: 5000 }, (_, at) => jobEvent('a', at + 1)));
        await allHeard(ends);
      }
      let heard = 0;
      slow.onJob('a', () => (heard += 1));
      proxy.resume();
      await allHeard({ there: ends.there, here: slow });
      expect(heard).toBe(15_000);
    });

    it('closes in bounded time', async () => {
      const events = await node('node-a', { databaseUrl: through });
      proxy.stall();
      events.publish([jobEvent('a', 1)]);
      const began = performance.now();
      await events.close();
      expect(performance.now() - began).toBeLessThan(10_000);
    });
  });
});
