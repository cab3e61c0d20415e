import { modelDescription } from '../../test/support/api.js';
import type { DispatchingNode, DispatchOptions } from '../../test/support/dispatch.js';
import { DONE, leaveCheckpoint, SHAPES, startNode } from '../../test/support/dispatch.js';
import type { Script } from '../../test/support/scripted-worker.js';
import { firstAborted, ScriptedPool, ScriptedWorker } from '../../test/support/scripted-worker.js';
import { failure } from '../domain/failure/failure.js';
import { spentAttempts } from '../domain/failure/decide-next.js';

const MINUTE = 60_000;

/** Runs until the gate opens, leaves with a checkpoint of step 5 when it is told to; urgent jobs are done at once. */
function suspendable(gate: Promise<unknown>): Script {
  return async function* (plan, signal, suspended) {
    yield { type: 'phase', phase: 'denoise' };
    if (plan.priorityRank === 0) return yield DONE;
    const open = gate.then(() => 'open' as const);
    const why = await Promise.race([open, firstAborted({ signal, suspended })]);
    if (why === 'open') return yield DONE;
    if (why === 'signal') return yield { type: 'cancelled' };
    yield { type: 'suspended', checkpoint: await leaveCheckpoint(plan.stagingDir, 5) };
  };
}

describe('Preemption', () => {
  let node: DispatchingNode;
  let gate: PromiseWithResolvers<void>;
  beforeEach(() => {
    gate = Promise.withResolvers();
  });
  afterEach(() => node.close());

  async function setUp(options: Omit<DispatchOptions, 'pool'> = {}): Promise<ScriptedWorker> {
    const worker = new ScriptedWorker('a', suspendable(gate.promise));
    node = await startNode({ pool: new ScriptedPool([worker]), permits: 2, ...options });
    return worker;
  }
  /** Resolves when the store was asked for an urgent job once more and what came of it was done. */
  async function looked(): Promise<void> {
    const { store } = node;
    const asked = Promise.withResolvers<void>();
    const firstQueued = store.firstQueued.bind(store);
    store.firstQueued = async (...args) => {
      const found = await firstQueued(...args);
      if (found !== null) asked.resolve();
      return found;
    };
    await asked.promise;
    await node.dispatcher.idle();
    store.firstQueued = firstQueued;
  }
  const jobsOf = ({ plans }: ScriptedWorker) => plans.map(({ attemptId }) => attemptId.split('/')[0]);

  it('suspends the least urgent attempt for an urgent job, and has it go on from its checkpoint', async () => {
    const worker = await setUp();
    const normal = await node.submit();
    await node.running(normal);
    const low = await node.submit({ priority: 'low' });
    await node.running(low);
    const urgent = await node.submit({ priority: 'urgent' });
    expect(await node.final(urgent)).toMatchObject({ state: 'succeeded' });
    expect((await node.store.get(normal))?.attempts).toHaveLength(1);
    gate.resolve();
    const resumed = await node.final(low);
    expect(resumed).toMatchObject({
      state: 'succeeded',
      attempts: [{ outcome: 'returned' }, { outcome: 'succeeded', resumedFromStep: 5 }],
    });
    expect(spentAttempts(resumed.attempts, { kind: 'internal', phase: null })).toBe(1);
    expect(jobsOf(worker)).toEqual([normal, low, urgent, low]);
    expect((await node.final(normal)).attempts).toHaveLength(1);
    await node.dispatcher.stop(1000);
    expect(node.leases.free('a:0')).toBe(2);
  });

  it('suspends nobody while a permit is free, nor for a job that is not urgent', async () => {
    const worker = await setUp();
    const low = await node.submit({ priority: 'low' });
    await node.running(low);
    await node.final(await node.submit({ priority: 'urgent' }));
    const second = await node.submit({ priority: 'low' });
    await node.running(second);
    await node.submit({ priority: 'high' });
    await node.dispatcher.idle();
    gate.resolve();
    await Promise.all([node.final(low), node.final(second)]);
    expect(new Set(jobsOf(worker)).size).toBe(worker.plans.length);
  });

  it('suspends one attempt for each urgent job, and no more', async () => {
    const worker = await setUp();
    const low = [await node.submit({ priority: 'low' }), await node.submit({ priority: 'low' })];
    await Promise.all(low.map((id) => node.running(id)));
    const urgent = [await node.submit({ priority: 'urgent' }), await node.submit({ priority: 'urgent' })];
    await Promise.all(urgent.map((id) => node.final(id)));
    gate.resolve();
    const attempts = await Promise.all(low.map(async (id) => (await node.final(id)).attempts.length));
    // The second urgent job may have found the permit of the first.
    expect(attempts.reduce((sum, count) => sum + count)).toBeLessThanOrEqual(4);
    expect(worker.plans.length).toBeLessThanOrEqual(6);
  });

  it('does not suspend an attempt whose age puts it before the urgent job', async () => {
    const worker = await setUp({ permits: 1 });
    const aged = await node.submit({}, Date.now() - 20 * MINUTE);
    await node.running(aged);
    const look = looked();
    const urgent = await node.submit({ priority: 'urgent' });
    await look;
    expect(node.inFlight.list().map(({ isSuspending }) => isSuspending)).toEqual([false]);
    gate.resolve();
    await node.final(urgent);
    expect(jobsOf(worker)).toEqual([aged, urgent]);
  });

  it('leaves an attempt that cannot be suspended where it is', async () => {
    const worker = await setUp({ permits: 1 });
    worker.suspends = false;
    const low = await node.submit({ priority: 'low' });
    await node.running(low);
    const look = looked();
    const urgent = await node.submit({ priority: 'urgent' });
    await look;
    expect((await node.store.get(urgent))?.state).toBe('queued');
    gate.resolve();
    expect((await node.final(low)).attempts).toHaveLength(1);
    await node.final(urgent);
  });

  describe('with jobs in the queue that nobody can claim', () => {
    const TOO_LARGE = 'a picture too large for the worker';

    /** Its other worker never comes: what is too large waits for that one. */
    async function setUpSmall(): Promise<ScriptedWorker> {
      const run = suspendable(gate.promise);
      const small = new ScriptedWorker('a', async function* (plan, ...rest) {
        if (plan.prompt !== TOO_LARGE) return yield* run(plan, ...rest);
        yield { type: 'failed', failure: failure('device_out_of_memory', 'no room', { phase: 'denoise' }) };
      });
      const awaited = Object.assign(new ScriptedWorker('b', run), { state: 'starting' });
      node = await startNode({ pool: new ScriptedPool([small, awaited]), permits: 1 });
      return small;
    }
    async function strand(priority: 'urgent' | 'normal', createdAt: number): Promise<void> {
      const id = await node.submit({ prompt: TOO_LARGE, max_degradation: 'none', priority }, createdAt);
      await node.once(id, ({ avoids, state }) => avoids.length > 0 && state === 'queued');
    }
    async function expectSuspension(): Promise<void> {
      const low = await node.submit({ priority: 'low' });
      await node.running(low);
      const urgent = await node.submit({ priority: 'urgent' });
      expect((await node.final(urgent)).state).toBe('succeeded');
      gate.resolve();
      expect((await node.final(low)).attempts).toMatchObject([{ outcome: 'returned' }, { outcome: 'succeeded' }]);
    }

    it('suspends an attempt although an older one is of a model that is not served', async () => {
      await setUp({ permits: 1 });
      await node.submit({ model: 'elsewhere' }, Date.now() - 60 * MINUTE);
      await expectSuspension();
    });

    it('suspends an attempt although an older one avoids the worker', async () => {
      await setUpSmall();
      await strand('normal', Date.now() - 60 * MINUTE);
      await expectSuspension();
    });

    it('suspends an attempt although an urgent one before it avoids the worker', async () => {
      await setUpSmall();
      await strand('urgent', Date.now() - MINUTE);
      await expectSuspension();
    });

    it('suspends none while an older one that can be claimed would get the permit', async () => {
      const worker = await setUp({ permits: 1 });
      const low = await node.submit({ priority: 'low' });
      await node.running(low);
      const aged = await node.submit({}, Date.now() - 20 * MINUTE);
      const look = looked();
      const urgent = await node.submit({ priority: 'urgent' });
      await look;
      expect(node.inFlight.list().map(({ isSuspending }) => isSuspending)).toEqual([false]);
      gate.resolve();
      await Promise.all([low, aged, urgent].map((id) => node.final(id)));
      expect(jobsOf(worker)).toEqual([low, aged, urgent]);
    });
  });

  describe('on a device of which memory runs short, not permits', () => {
    const measured = (model: string, weightsBytes: number) => ({
      model,
      deviceKind: 'cpu' as const,
      dtype: 'float32' as const,
      weightsBytes,
      components: { unet: weightsBytes },
      phases: [{ phase: 'denoise' as const, fixedBytes: 0, bytesPerPixel: 0.1, measured: true }],
    });

    async function runLow(budgetBytes: number): Promise<string> {
      const worker = Object.assign(new ScriptedWorker('a', suspendable(gate.promise)), { budgetBytes });
      const pool = new ScriptedPool([worker]);
      const models = [SHAPES, modelDescription({ id: 'large', isDefault: false, components: { unet: 3000 } })];
      node = await startNode({ pool, models, permits: 4 });
      pool.measure(measured('shapes', 1300));
      pool.measure(measured('large', 3000));
      const low = await node.submit({ model: 'large', priority: 'low' });
      await node.running(low);
      return low;
    }

    it('suspends an attempt beside which the urgent job has no room', async () => {
      const low = await runLow(4000);
      expect((await node.final(await node.submit({ priority: 'urgent' }))).state).toBe('succeeded');
      gate.resolve();
      expect((await node.final(low)).attempts).toMatchObject([{ outcome: 'returned' }, { outcome: 'succeeded' }]);
    });

    it('suspends none when both fit', async () => {
      const low = await runLow(8000);
      await node.final(await node.submit({ priority: 'urgent' }));
      gate.resolve();
      expect((await node.final(low)).attempts).toHaveLength(1);
    });
  });

  describe('when the worker of the attempt it chose', () => {
    /** Two workers with one attempt each; the one on `b` is chosen first. */
    async function setUpTwo() {
      const ends = Promise.withResolvers<void>();
      const [a, b] = [
        new ScriptedWorker('a', suspendable(ends.promise)),
        new ScriptedWorker('b', suspendable(gate.promise)),
      ];
      node = await startNode({ pool: new ScriptedPool([a, b]), permits: 1 });
      await node.dispatcher.idle();
      const low: string[] = [];
      for (let i = 0; i < 2; i += 1) {
        low.push(await node.submit({ priority: 'low' }, Date.now() + i));
        await node.running(low[i]!);
      }
      return { a, b, low, endA: ends.resolve };
    }

    it('does not answer, goes on claiming for the others', async () => {
      const { b, low, endA } = await setUpTwo();
      const [asked, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<boolean>()];
      b.suspend = () => (asked.resolve(), answer.promise);
      const urgent = await node.submit({ priority: 'urgent' });
      await asked.promise;
      endA();
      expect(await node.final(urgent)).toMatchObject({ state: 'succeeded', attempts: [{ worker: 'a' }] });
      answer.resolve(false);
      gate.resolve();
      await Promise.all(low.map((id) => node.final(id)));
    });

    it('refuses, suspends another', async () => {
      const { b, low, endA } = await setUpTwo();
      b.suspends = false;
      const urgent = await node.submit({ priority: 'urgent' });
      expect(await node.final(urgent)).toMatchObject({ state: 'succeeded', attempts: [{ worker: 'a' }] });
      endA();
      gate.resolve();
      const outcomes = await Promise.all(
        low.map(async (id) => (await node.final(id)).attempts.map((one) => one.outcome)),
      );
      expect(outcomes).toEqual([['returned', 'succeeded'], ['succeeded']]);
    });
  });
});
