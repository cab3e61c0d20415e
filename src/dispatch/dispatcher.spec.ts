import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import { OPERATOR } from '../domain/access/caller.js';
import type { DispatchingNode, DispatchOptions } from '../../test/support/dispatch.js';
import { DONE, startNode } from '../../test/support/dispatch.js';
import { newJob } from '../../test/support/jobs.js';
import type { Script } from '../../test/support/scripted-worker.js';
import { ScriptedPool, ScriptedWorker, waitsFor } from '../../test/support/scripted-worker.js';
import { eventually } from '../../test/support/signals.js';
import { DatabaseConfig } from '../config/database.config.js';
import { failure } from '../domain/failure/failure.js';
import { CancelJob } from '../jobs/cancel/cancel-job.js';
import { StoreUnavailableError } from '../jobs/ports/job-store.port.js';
import { openStores } from '../persistence/open-stores.js';
import { SystemClock } from '../system-clock.js';

/** Fails as often as told, then succeeds. */
function failing(times: number, kind: 'internal' | 'worker_lost' | 'worker_stopping' | 'invalid_request'): Script {
  let left = times;
  return async function* () {
    yield { type: 'accepted' };
    yield { type: 'phase', phase: 'encode' };
    await Promise.resolve();
    yield left-- > 0 ? { type: 'failed', failure: failure(kind, 'as told', { phase: 'encode' }) } : DONE;
  };
}

describe('Dispatcher', () => {
  let node: DispatchingNode;

  const setUp = async (pool: ScriptedPool, options: Omit<DispatchOptions, 'pool'> = {}) => {
    node = await startNode({ pool, ...options });
  };
  afterEach(() => node.close());

  it('runs what is queued and records what was really run', async () => {
    await setUp(new ScriptedPool([new ScriptedWorker('a', failing(0, 'internal'))]));
    const job = await node.final(await node.submit());
    expect(job).toMatchObject({
      state: 'succeeded',
      effective: { dtype: 'float32' },
      attempts: [{ worker: 'a', outcome: 'succeeded' }],
    });
  });

  it('claims nothing while no worker is ready, and begins when one is', async () => {
    const pool = new ScriptedPool([]);
    await setUp(pool);
    const id = await node.submit();
    expect((await node.store.get(id))?.state).toBe('queued');
    pool.become([new ScriptedWorker('a', failing(0, 'internal'))]);
    expect((await node.final(id)).state).toBe('succeeded');
  });

  it('asks the store once when there is nothing to do, and again only when something changes', async () => {
    const pool = new ScriptedPool([new ScriptedWorker('a', failing(0, 'internal'))]);
    await setUp(pool);
    await node.final(await node.submit());
    await eventually('the permit back', () => Promise.resolve(node.leases.free('a:0') === 4 || null));
    await node.dispatcher.idle();
    let asked = 0;
    const claim = node.store.claimNext.bind(node.store);
    node.store.claimNext = (...args) => ((asked += 1), claim(...args));
    // Ten turns of the store stand for time passing; a loop that polls would ask at each.
    for (let turn = 0; turn < 10; turn += 1) await node.store.countByState();
    expect(asked).toBe(0);
    await node.final(await node.submit());
    expect(asked).toBeGreaterThan(0);
  });

  it('plans with the settings of the model and the pictures of the job', async () => {
    const worker = new ScriptedWorker('a', failing(0, 'internal'));
    await setUp(new ScriptedPool([worker]));
    const init_image = { sha256: 'abc', bytes: 9, media_type: 'image/webp', width: 8, height: 8 } as const;
    const id = await node.submit({ init_image, strength: 0.5, exact: true });
    await node.final(id);
    expect(worker.plans).toMatchObject([
      {
        exact: true,
        checkpointIntervalMs: 5000,
        inputs: { initImage: join(node.folder, 'artifacts', id, 'inputs', 'abc.webp'), strength: 0.5 },
      },
    ]);
  });

  it('ends a job whose LoRA is no longer served, rather than draw without it', async () => {
    const worker = new ScriptedWorker('a', failing(0, 'internal'));
    await setUp(new ScriptedPool([worker]));
    const job = await node.final(await node.submit({ loras: [{ id: 'ink', weight: 1 }] }));
    expect(job).toMatchObject({ state: 'failed', failure: { kind: 'model_unavailable' } });
    expect(job.failure?.message).toContain('the LoRA ink of the model shapes');
    expect(worker.plans).toEqual([]);
  });

  it('ends a job whose model is no longer served, rather than let it wait for ever', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'safelight-dispatch-'));
    try {
      const log = pino({ level: 'silent' });
      const stores = await openStores({ database: new DatabaseConfig({ url: null }), dataDir: folder, log });
      const job = newJob({ client: '', request: { model: 'withdrawn', webhook: null }, createdAt: Date.now() });
      await stores.jobs.insert([job], { maxWaiting: 10 }, null);
      await stores.close();
      await setUp(new ScriptedPool([new ScriptedWorker('a', failing(0, 'internal'))]), { folder });
      expect(await node.final(job.id)).toMatchObject({ state: 'failed', failure: { kind: 'model_unavailable' } });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('never runs more attempts on a device than it has permits', async () => {
    let now = 0;
    let most = 0;
    let second = Promise.withResolvers<void>();
    // Each attempt waits for a second one, so that both permits are in use at once.
    const worker = new ScriptedWorker('a', async function* () {
      most = Math.max(most, (now += 1));
      const pair = second;
      if (now === 2) {
        second = Promise.withResolvers();
        pair.resolve();
      }
      yield { type: 'accepted' };
      await pair.promise;
      now -= 1;
      yield DONE;
    });
    await setUp(new ScriptedPool([worker]), { permits: 2 });
    const ids = await Promise.all(Array.from({ length: 12 }, () => node.submit()));
    const jobs = await Promise.all(ids.map((id) => node.final(id)));
    expect(jobs.every(({ state }) => state === 'succeeded')).toBe(true);
    expect(most).toBe(2);
    await node.dispatcher.stop(1000);
    expect(node.leases.free('a:0')).toBe(2);
  });

  it('takes the most urgent first, and the oldest inside a class', async () => {
    const gate = Promise.withResolvers<void>();
    const worker = new ScriptedWorker('a', waitsFor(gate.promise, DONE));
    worker.suspends = false;
    await setUp(new ScriptedPool([worker]), { permits: 1 });
    const first = await node.submit();
    await node.running(first);
    const ids = [
      await node.submit({ priority: 'low' }),
      await node.submit(),
      await node.submit(),
      await node.submit({ priority: 'urgent' }),
    ];
    gate.resolve();
    await Promise.all(ids.map((id) => node.final(id)));
    const [low, older, newer, urgent] = ids;
    expect(worker.plans.map(({ attemptId }) => attemptId.split('/')[0])).toEqual([first, urgent, older, newer, low]);
  });

  it('spreads over devices', async () => {
    const gate = Promise.withResolvers<void>();
    const workers = ['a', 'b'].map((id) => new ScriptedWorker(id, waitsFor(gate.promise, DONE)));
    await setUp(new ScriptedPool(workers), { permits: 4 });
    const ids = [await node.submit(), await node.submit(), await node.submit(), await node.submit()];
    await Promise.all(ids.map((id) => node.running(id)));
    expect(workers.map(({ plans }) => plans.length)).toEqual([2, 2]);
    gate.resolve();
    await Promise.all(ids.map((id) => node.final(id)));
  });

  it('tries again after a failure that may pass, and keeps every attempt on record', async () => {
    await setUp(new ScriptedPool([new ScriptedWorker('a', failing(2, 'worker_lost'))]));
    const job = await node.final(await node.submit());
    expect(job.state).toBe('succeeded');
    expect(job.attempts.map(({ outcome }) => outcome)).toEqual(['failed', 'failed', 'succeeded']);
  });

  it('gives up after the attempts a kind is worth, with the failure on record', async () => {
    await setUp(new ScriptedPool([new ScriptedWorker('a', failing(9, 'internal'))]));
    const job = await node.final(await node.submit());
    expect(job).toMatchObject({ state: 'failed', failure: { kind: 'internal', message: 'as told' } });
    expect(job.attempts).toHaveLength(3);
  });

  it('rejects what can never run at its first attempt', async () => {
    await setUp(new ScriptedPool([new ScriptedWorker('a', failing(9, 'invalid_request'))]));
    expect(await node.final(await node.submit())).toMatchObject({ state: 'failed', attempts: [{ number: 1 }] });
  });

  it('does not count attempts that a stopping worker gives back', async () => {
    await setUp(new ScriptedPool([new ScriptedWorker('a', failing(7, 'worker_stopping'))]));
    const job = await node.final(await node.submit());
    expect(job.state).toBe('succeeded');
    expect(job.attempts.filter(({ outcome }) => outcome === 'returned')).toHaveLength(7);
  });

  it('stops a running job that is cancelled', async () => {
    const worker = new ScriptedWorker('a', waitsFor(Promise.withResolvers<void>().promise, DONE));
    await setUp(new ScriptedPool([worker]));
    const id = await node.submit();
    await node.running(id);
    const cancelled = await new CancelJob(node.store, node.events, new SystemClock()).cancel(id, OPERATOR);
    expect(cancelled?.changed).toBe(true);
    expect(await node.final(id)).toMatchObject({ state: 'cancelled', attempts: [{ outcome: 'cancelled' }] });
    await node.dispatcher.stop(1000);
    expect(node.leases.free('a:0')).toBe(4);
  });

  it('expires a running job at its deadline', async () => {
    const worker = new ScriptedWorker('a', waitsFor(Promise.withResolvers<void>().promise, DONE));
    await setUp(new ScriptedPool([worker]));
    const job = await node.final(await node.submit({ finish_by: Date.now() + 300 }));
    expect(job).toMatchObject({ state: 'expired', failure: { kind: 'deadline_exceeded' } });
  });

  it('turns previews on for a running job when somebody begins to watch, and off when nobody does', async () => {
    const gate = Promise.withResolvers<void>();
    const worker = new ScriptedWorker('a', waitsFor(gate.promise, DONE));
    await setUp(new ScriptedPool([worker]));
    const id = await node.submit();
    await node.running(id);
    const leave = node.events.onPreview(id, () => undefined);
    leave();
    expect(worker.previews).toEqual([
      [`${id}/1`, 500],
      [`${id}/1`, 0],
    ]);
    gate.resolve();
    await node.final(id);
  });

  it('goes on with an attempt whose progress cannot be stored, and stores its end once the disk has room', async () => {
    await setUp(new ScriptedPool([new ScriptedWorker('a', failing(0, 'internal'))]));
    const full = () => Promise.reject(new StoreUnavailableError('the disk is full'));
    node.store.recordProgressIfClaimed = full;
    const complete = node.store.completeIfClaimed.bind(node.store);
    let refused = 0;
    node.store.completeIfClaimed = (...args) => ((refused += 1) < 3 ? full() : complete(...args));
    const job = await node.final(await node.submit());
    expect(job).toMatchObject({ state: 'succeeded', attempts: [{ outcome: 'succeeded' }] });
    expect(refused).toBe(3);
  });

  it('fails a job whose pictures are not the files the worker told of, after trying again', async () => {
    const artifact = {
      index: 0,
      fileName: '0.png',
      mediaType: 'image/png',
      width: 64,
      height: 64,
      bytes: 3,
      sha256: 'beef',
      seed: '1',
    };
    const worker = new ScriptedWorker('a', async function* () {
      await Promise.resolve();
      yield { ...DONE, artifacts: [artifact] };
    });
    await setUp(new ScriptedPool([worker]));
    expect(await node.final(await node.submit())).toMatchObject({
      state: 'failed',
      failure: { kind: 'internal' },
      artifacts: [],
    });
  });
});
