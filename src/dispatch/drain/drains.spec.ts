import type { DispatchingNode, DispatchOptions } from '../../../test/support/dispatch.js';
import { DONE, leaveCheckpoint, startNode } from '../../../test/support/dispatch.js';
import type { Script } from '../../../test/support/scripted-worker.js';
import { firstAborted, ScriptedPool, ScriptedWorker, waitsFor } from '../../../test/support/scripted-worker.js';
import { eventually } from '../../../test/support/signals.js';
import { failure } from '../../domain/failure/failure.js';
import { windDown } from './wind-down.js';

const NEVER = new Promise<void>(() => undefined);

/** Leaves with a checkpoint of step 8 when it is told to; ends by itself never. */
const suspendable: Script = async function* (plan, signal, suspended) {
  yield { type: 'phase', phase: 'denoise' };
  if ((await firstAborted({ signal, suspended })) === 'signal') return yield { type: 'cancelled' };
  yield { type: 'suspended', checkpoint: await leaveCheckpoint(plan.stagingDir, 8) };
};

describe('Drains', () => {
  let node: DispatchingNode;
  afterEach(() => node.close());

  const setUp = async (workers: readonly ScriptedWorker[], options: Omit<DispatchOptions, 'pool'> = {}) => {
    node = await startNode({ pool: new ScriptedPool(workers), permits: 1, ...options });
  };
  const stopped = (worker: ScriptedWorker) =>
    eventually(`${worker.id} stopped`, () => Promise.resolve(worker.state === 'stopped' || null));

  describe('of a stopping server', () => {
    it('gives running jobs back with their checkpoint at the limit, and claims nothing more', async () => {
      await setUp([new ScriptedWorker('a', suspendable)]);
      const [first, second] = [await node.submit(), await node.submit()];
      await node.running(first);
      await node.dispatcher.stop(0);
      expect(await node.store.get(first)).toMatchObject({
        state: 'queued',
        checkpoint: { step: 8, attempt: 1 },
        attempts: [{ outcome: 'returned' }],
      });
      expect(await node.store.get(second)).toMatchObject({ state: 'queued', attempts: [] });
      expect(node.leases.free('a:0')).toBe(1);
    });

    it('gives them back without one when their worker cannot suspend', async () => {
      const worker = new ScriptedWorker('a', waitsFor(NEVER, DONE));
      worker.suspends = false;
      await setUp([worker]);
      const id = await node.submit();
      await node.running(id);
      await node.dispatcher.stop(0);
      expect(await node.store.get(id)).toMatchObject({
        state: 'queued',
        checkpoint: null,
        attempts: [{ outcome: 'returned' }],
      });
    });

    it('does not wait for a worker that does nothing it is told, and writes what its end brings', async () => {
      const gate = Promise.withResolvers<void>();
      const worker = new ScriptedWorker('a', async function* () {
        yield { type: 'phase', phase: 'denoise' };
        await gate.promise;
        yield { type: 'failed', failure: failure('worker_stopping', 'killed', { phase: 'denoise' }) };
      });
      await setUp([worker]);
      const id = await node.submit();
      await node.running(id);
      const atOnce = { drainMs: 0, suspendMs: 0, giveBackMs: 0 };
      expect(await windDown(() => node.inFlight.list(), atOnce)).toBe(false);
      expect((await node.store.get(id))?.state).toBe('running');
      worker.state = 'stopped';
      gate.resolve();
      await node.dispatcher.settle();
      expect(await node.store.get(id)).toMatchObject({ state: 'queued', attempts: [{ outcome: 'returned' }] });
    });

    it('lets running jobs end within the limit', async () => {
      const gate = Promise.withResolvers<void>();
      await setUp([new ScriptedWorker('a', waitsFor(gate.promise, DONE))]);
      const id = await node.submit();
      await node.running(id);
      const end = node.dispatcher.stop(60_000);
      gate.resolve();
      await end;
      expect((await node.store.get(id))?.state).toBe('succeeded');
    });
  });

  describe('of a worker', () => {
    it('moves its jobs to another at the limit, and stops it', async () => {
      const drained = new ScriptedWorker('a', suspendable);
      await setUp([drained], { drainMs: 0 });
      const id = await node.submit();
      await node.running(id);
      expect(node.drains.drainWorker('a')?.state).toBe('draining');
      await stopped(drained);
      expect(await node.store.get(id)).toMatchObject({ state: 'queued', checkpoint: { step: 8 } });
      expect(node.leases.free('a:0')).toBe(1);
    });

    it('starts it again on request, and not before it has stopped', async () => {
      const gate = Promise.withResolvers<void>();
      const worker = new ScriptedWorker('a', waitsFor(gate.promise, DONE));
      await setUp([worker]);
      const first = await node.submit();
      await node.running(first);
      node.drains.drainWorker('a');
      node.drains.drainWorker('a');
      expect(node.drains.startWorker('a')?.state).toBe('draining');
      const second = await node.submit();
      gate.resolve();
      await stopped(worker);
      expect((await node.store.get(first))?.state).toBe('succeeded');
      expect((await node.store.get(second))?.state).toBe('queued');
      await eventually('the worker started', () =>
        Promise.resolve(node.drains.startWorker('a')?.state === 'ready' || null),
      );
      expect((await node.final(second)).state).toBe('succeeded');
    });

    it('knows only its own workers', async () => {
      await setUp([]);
      expect(node.drains.drainWorker('z')).toBeNull();
      expect(node.drains.startWorker('z')).toBeNull();
    });
  });

  describe('of the node', () => {
    it('takes no jobs, empties its workers and says when it has none left', async () => {
      const gate = Promise.withResolvers<void>();
      const workers = ['a', 'b'].map((id) => new ScriptedWorker(id, waitsFor(gate.promise, DONE)));
      await setUp(workers);
      const id = await node.submit();
      await node.running(id);
      expect(node.drains.nodeState()).toBe('serving');
      expect(node.drains.drainNode()).toBe('draining');
      const submission = { model: 'shapes', prompt: 'a red square' };
      const refused = await node.submissions.submit([submission], null);
      expect(refused.outcome).toBe('not_serving');
      gate.resolve();
      await eventually('drained', () => Promise.resolve(node.drains.nodeState() === 'drained' || null));
      expect((await node.store.get(id))?.state).toBe('succeeded');
      expect(workers.map(({ state }) => state)).toEqual(['stopped', 'stopped']);
      expect(node.drains.startWorker('a')?.state).toBe('stopped');
    });
  });
});
