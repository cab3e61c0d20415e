import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { OPERATOR } from '../domain/access/caller.js';
import type { DispatchingNode, DispatchOptions } from '../../test/support/dispatch.js';
import { DONE, leaveCheckpoint, startNode } from '../../test/support/dispatch.js';
import { claimer, newJob } from '../../test/support/jobs.js';
import { newDatabase, NO_POSTGRES, postgresUrl } from '../../test/support/postgres.js';
import type { Script } from '../../test/support/scripted-worker.js';
import { firstAborted, ScriptedPool, ScriptedWorker, waitsFor } from '../../test/support/scripted-worker.js';
import { eventually } from '../../test/support/signals.js';
import { CancelJob } from '../jobs/cancel/cancel-job.js';
import { SystemClock } from '../system-clock.js';

/** Short, so that a node is missed soon. */
const LEASE_MS = 1000;

const NEVER = new Promise<void>(() => undefined);

const suite = postgresUrl === null ? describe.skip : describe;

suite(postgresUrl === null ? `Two nodes (skipped: ${NO_POSTGRES})` : 'Two nodes of one store', () => {
  let database: { readonly url: string; drop(): Promise<void> };
  let artifactsDir: string;
  let nodes: DispatchingNode[];

  beforeEach(async () => {
    database = await newDatabase();
    artifactsDir = mkdtempSync(join(tmpdir(), 'safelight-nodes-'));
    nodes = [];
  });
  afterEach(async () => {
    for (const node of nodes) await node.close();
    await database.drop();
    rmSync(artifactsDir, { recursive: true, force: true });
  });

  async function start(
    name: string,
    script: Script | null,
    options: Partial<DispatchOptions> = {},
  ): Promise<{ node: DispatchingNode; worker: ScriptedWorker }> {
    const worker = new ScriptedWorker('a', script ?? waitsFor(NEVER, DONE), name);
    // Its scripts only end when they are stopped.
    worker.suspends = false;
    const node = await startNode({
      pool: new ScriptedPool(script === null ? [] : [worker]),
      node: name,
      databaseUrl: database.url,
      leaseMs: LEASE_MS,
      artifactsDir,
      ...options,
    });
    nodes.push(node);
    return { node, worker };
  }

  /** Leaves a checkpoint of step 6, then hangs until it is stopped. */
  const hangs: Script = async function* (plan, signal) {
    yield { type: 'phase', phase: 'denoise' };
    yield { type: 'checkpoint', checkpoint: await leaveCheckpoint(plan.stagingDir, 6) };
    await firstAborted({ signal });
    yield { type: 'cancelled' };
  };
  const hanging = (node: DispatchingNode, id: string) =>
    node.once(id, ({ state, checkpoint }) => state === 'running' && checkpoint?.step === 6);

  it('share the work, and each job is run once', async () => {
    const both = Promise.withResolvers<void>();
    const workers: ScriptedWorker[] = [];
    const script: Script = async function* () {
      if (workers.every(({ plans }) => plans.length > 0)) both.resolve();
      await both.promise;
      yield DONE;
    };
    const first = await start('first', script, { permits: 2 });
    const second = await start('second', script, { permits: 2 });
    workers.push(first.worker, second.worker);
    const ids = await Promise.all(Array.from({ length: 12 }, () => first.node.submit()));
    const jobs = await Promise.all(ids.map((id) => second.node.final(id)));
    expect(jobs.map(({ state, attempts }) => [state, attempts.length])).toEqual(ids.map(() => ['succeeded', 1]));
    expect(first.worker.plans.length + second.worker.plans.length).toBe(12);
  });

  it('have the jobs of a silent node go on elsewhere from their checkpoint, and drop what it still makes', async () => {
    const gate = Promise.withResolvers<void>();
    const script: Script = async function* (plan) {
      yield { type: 'phase', phase: 'denoise' };
      yield { type: 'checkpoint', checkpoint: await leaveCheckpoint(plan.stagingDir, 6) };
      await gate.promise;
      yield { ...DONE, effective: { made: 'too late' } };
    };
    const first = await start('first', script, { permits: 1 });
    const id = await first.node.submit();
    await hanging(first.node, id);
    let read = '';
    const second = await start('second', async function* (plan) {
      read = await readFile(plan.resumeFrom ?? '', 'utf8');
      gate.resolve();
      await eventually('the late result', () => Promise.resolve(first.node.inFlight.list().length === 0 || null));
      yield { ...DONE, effective: { made: 'in time' } };
    });
    await first.node.fallSilent();
    const job = await second.node.final(id);
    expect(read).toBe('the state at step 6');
    expect(job).toMatchObject({
      state: 'succeeded',
      effective: { made: 'in time' },
      attempts: [
        { node: 'first', outcome: 'failed', failure: { kind: 'worker_lost' } },
        { node: 'second', outcome: 'succeeded', resumedFromStep: 6 },
      ],
    });
  });

  it('keep the claims of a node that is heard', async () => {
    const first = await start('first', hangs);
    const id = await first.node.submit();
    await hanging(first.node, id);
    const { claimed } = first.node.inFlight.list()[0]!;
    const second = await start('second', hangs);
    const reclaim = second.node.store.reclaim.bind(second.node.store);
    const lookedLate = new Promise<void>((resolve) => {
      const late = Date.now() + 2 * LEASE_MS;
      second.node.store.reclaim = async (...args) => {
        const events = await reclaim(...args);
        if (Date.now() > late) resolve();
        return events;
      };
    });
    await lookedLate;
    expect(first.node.inFlight.list()[0]?.claimed.claim).toEqual(claimed.claim);
    expect((await first.node.store.get(id))?.attempts).toHaveLength(1);
  });

  it('stop an attempt whose claim was lost as soon as they are heard again', async () => {
    const first = await start('first', hangs, { permits: 1 });
    const id = await first.node.submit();
    await hanging(first.node, id);
    const second = await start('second', waitsFor(NEVER, DONE));
    await first.node.fallSilent();
    await second.node.once(id, ({ attempts }) => attempts.length === 2);
    expect(first.node.inFlight.list()).toHaveLength(1);
    first.node.speakAgain();
    await eventually('the attempt dropped', () => Promise.resolve(first.node.inFlight.list().length === 0 || null));
    expect(first.node.leases.free('a:0')).toBe(1);
    expect((await second.node.store.get(id))?.attempts).toMatchObject([
      { outcome: 'failed' },
      { node: 'second', outcome: 'running' },
    ]);
  });

  it('cancel what the other runs', async () => {
    const first = await start('first', hangs);
    const second = await start('second', null);
    const id = await second.node.submit();
    await hanging(second.node, id);
    await new CancelJob(second.node.store, second.node.events, new SystemClock()).cancel(id, OPERATOR);
    expect((await second.node.final(id)).state).toBe('cancelled');
    await first.node.dispatcher.stop(1000);
    expect(readdirSync(join(artifactsDir, id, 'checkpoints'))).toEqual([]);
  });

  it('give way to one that takes their name, which has their jobs at once', async () => {
    const first = await start('same', hangs);
    const id = await first.node.submit();
    await hanging(first.node, id);
    const second = await start('same', async function* () {
      await Promise.resolve();
      yield DONE;
    });
    expect(await second.node.final(id)).toMatchObject({
      state: 'succeeded',
      attempts: [{ outcome: 'failed' }, { outcome: 'succeeded' }],
    });
    await first.node.superseded;
    await eventually('the attempt dropped', () => Promise.resolve(first.node.inFlight.list().length === 0 || null));
  });

  it('move what is due although the node that made it so has gone', async () => {
    const first = await start('first', null);
    const second = await start('second', async function* () {
      await Promise.resolve();
      yield DONE;
    });
    await first.node.fallSilent();
    const job = { ...newJob({ createdAt: Date.now() }), runAt: Date.now() + 300 };
    // Nobody is told of it.
    await first.node.store.insert([job], { maxWaiting: 10 }, null);
    expect((await second.node.final(job.id)).state).toBe('succeeded');
  });

  it('take back a claim that nobody holds', async () => {
    const first = await start('first', null);
    const id = await first.node.submit();
    const { store } = first.node;
    // As if the connection had broken before the answer came.
    expect(
      await store.claimNext(
        [{ model: 'shapes', bonusMs: 0, maxPixels: null }],
        claimer({ node: first.node.id, nodeName: 'first', worker: 'first/a', leaseMs: LEASE_MS }),
        Date.now(),
      ),
    ).not.toBeNull();
    const job = await first.node.once(id, ({ state }) => state === 'queued');
    expect(job.attempts).toMatchObject([{ outcome: 'returned' }]);
  });
});
