import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { OPERATOR } from '../domain/access/caller.js';
import { modelDescription } from '../../test/support/api.js';
import type { DispatchingNode, DispatchOptions } from '../../test/support/dispatch.js';
import { DONE, SHAPES, startNode } from '../../test/support/dispatch.js';
import type { Script } from '../../test/support/scripted-worker.js';
import { ScriptedPool, ScriptedWorker, waitsFor } from '../../test/support/scripted-worker.js';
import { eventually } from '../../test/support/signals.js';
import type { FailureKind } from '../domain/failure/failure-kind.js';
import { failure } from '../domain/failure/failure.js';
import type { ExecutionPlan } from '../domain/generation/execution-plan.js';
import type { Phase } from '../domain/job/phase.js';
import { CancelJob } from '../jobs/cancel/cancel-job.js';
import { StoreUnavailableError } from '../jobs/ports/job-store.port.js';
import { SystemClock } from '../system-clock.js';
import type { AttemptEvent } from './ports/worker-pool.port.js';

const fails = (kind: FailureKind, phase: Phase = 'denoise'): AttemptEvent => ({
  type: 'failed',
  failure: failure(kind, 'as told', { phase }),
});

/** Ends each attempt as told by its plan. */
function ends(endOf: (plan: ExecutionPlan) => AttemptEvent): Script {
  return async function* (plan) {
    yield { type: 'phase', phase: 'denoise' };
    await Promise.resolve();
    yield endOf(plan);
  };
}

describe('Recovery', () => {
  let node: DispatchingNode;
  afterEach(() => node.close());

  const setUp = async (workers: readonly ScriptedWorker[], options: Omit<DispatchOptions, 'pool'> = {}) => {
    node = await startNode({ pool: new ScriptedPool(workers), models: [SHAPES], ...options });
  };
  const permitsBack = (worker: ScriptedWorker, permits = 4) =>
    eventually(`permits of ${worker.id}`, () =>
      Promise.resolve(node.leases.free(worker.device.id) === permits || null),
    );

  describe('from want of memory', () => {
    it('climbs the ladder in its order, with the same job, and tells of each rung', async () => {
      const worker = new ScriptedWorker(
        'a',
        ends(({ width }) => (width < 128 ? DONE : fails('device_out_of_memory'))),
      );
      await setUp([worker]);
      const job = await node.final(
        await node.submit({ width: 128, height: 128, num_images: 2, max_degradation: 'reduced' }),
      );
      const ladder = ['smaller_batch', 'phase_residency', 'group_offload', 'lower_resolution'];
      expect(job).toMatchObject({ state: 'succeeded', degradations: ladder.map((rung) => ({ rung })) });
      expect(await node.told(job.id, 'degradation')).toMatchObject(
        ladder.map((rung) => ({ rung, cause: 'device_out_of_memory' })),
      );
      expect(job.attempts.map(({ degradations }) => degradations.length)).toEqual([0, 1, 2, 3, 4]);
      expect(worker.plans.map(({ maxImages, width }) => [maxImages, width])).toEqual([
        [null, 128],
        [1, 128],
        [1, 128],
        [1, 128],
        [1, 96],
      ]);
      await permitsBack(worker);
    });

    it('takes no rung worse than the request accepts', async () => {
      const worker = new ScriptedWorker(
        'a',
        ends(() => fails('device_out_of_memory')),
      );
      await setUp([worker]);
      const job = await node.final(await node.submit({ width: 128, height: 128, max_degradation: 'identical' }));
      expect(job).toMatchObject({ state: 'failed', failure: { kind: 'device_out_of_memory' } });
      expect(new Set(job.degradations.map(({ fidelity }) => fidelity))).toEqual(new Set(['identical']));
      expect(worker.plans.every(({ width }) => width === 128)).toBe(true);
      await permitsBack(worker);
    });

    it('takes none at all for a request that accepts none', async () => {
      const worker = new ScriptedWorker(
        'a',
        ends(() => fails('device_out_of_memory')),
      );
      await setUp([worker]);
      const job = await node.final(await node.submit({ max_degradation: 'none' }));
      expect(job).toMatchObject({ state: 'failed', degradations: [] });
      expect(await node.told(job.id, 'degradation')).toEqual([]);
      expect(job.attempts.length).toBeGreaterThan(1);
    });

    it('takes no rung that changes a bit of an exact picture', async () => {
      const worker = new ScriptedWorker(
        'a',
        ends(() => fails('device_out_of_memory', 'decode')),
      );
      await setUp([worker]);
      const job = await node.final(await node.submit({ exact: true, max_degradation: 'reduced', num_images: 2 }));
      expect(job.state).toBe('failed');
      expect(job.degradations.every(({ fidelity }) => fidelity === 'identical')).toBe(true);
    });

    it('tries it alone, with all it asked for, when another model had its part of the device', async () => {
      const gate = Promise.withResolvers<void>();
      const company = waitsFor(gate.promise, DONE);
      const alone = ends(({ solo }) => (solo ? DONE : fails('device_out_of_memory')));
      const worker = new ScriptedWorker('a', (plan, ...rest) =>
        (plan.model.id === 'large' ? company : alone)(plan, ...rest),
      );
      worker.suspends = false;
      await setUp([worker], { models: [SHAPES, modelDescription({ id: 'large', isDefault: false })] });
      await node.running(await node.submit({ model: 'large' }));
      const id = await node.submit({ max_degradation: 'reduced' });
      await node.once(id, ({ solo, state }) => solo && state === 'running');
      gate.resolve();
      const job = await node.final(id);
      expect(job).toMatchObject({ state: 'succeeded', degradations: [] });
      expect(job.attempts).toHaveLength(2);
      await permitsBack(worker);
    });

    it('moves a job on that no rung makes fit', async () => {
      const small = new ScriptedWorker(
        'a',
        ends(() => fails('device_out_of_memory')),
      );
      const large = new ScriptedWorker(
        'b',
        ends(() => DONE),
      );
      large.state = 'starting';
      const pool = new ScriptedPool([small, large]);
      node = await startNode({ pool, models: [SHAPES] });
      const id = await node.submit({ max_degradation: 'identical' });
      const moved = await node.once(id, ({ avoids }) => avoids.length > 0);
      expect(moved.avoids).toEqual(['here/a']);
      await permitsBack(small);
      expect((await node.store.get(id))?.state).not.toBe('running');
      large.state = 'ready';
      pool.become([small, large]);
      expect(await node.final(id)).toMatchObject({ state: 'succeeded' });
      expect(large.plans).toHaveLength(1);
    });
  });

  it('tries a job again where it failed when the workers it was moved on to have gone', async () => {
    let left = 1;
    const small = new ScriptedWorker(
      'a',
      ends(() => (left-- > 0 ? fails('device_out_of_memory') : DONE)),
    );
    const gone = new ScriptedWorker(
      'b',
      ends(() => DONE),
    );
    gone.state = 'starting';
    const pool = new ScriptedPool([small, gone]);
    node = await startNode({ pool, models: [SHAPES] });
    const id = await node.submit({ max_degradation: 'none' });
    await node.once(id, ({ avoids, state }) => avoids.length > 0 && state === 'queued');
    expect(small.plans).toHaveLength(1);
    pool.become([small]);
    expect(await node.final(id)).toMatchObject({ state: 'succeeded', attempts: [{ worker: 'a' }, { worker: 'a' }] });
  });

  describe('from deaths of workers', () => {
    const deadly = 'a prompt that kills';
    const kills = (plan: ExecutionPlan) => (plan.prompt === deadly ? fails('worker_lost') : DONE);

    it('runs a job alone that was there at two deaths, and fails it at the third', async () => {
      const worker = new ScriptedWorker('a', ends(kills));
      await setUp([worker]);
      const [poison, innocent] = [await node.submit({ prompt: deadly }), await node.submit()];
      expect(await node.final(innocent)).toMatchObject({ state: 'succeeded' });
      const job = await node.final(poison);
      expect(job).toMatchObject({ state: 'failed', failure: { kind: 'worker_lost' } });
      expect(job.attempts).toHaveLength(3);
      const solos = worker.plans.filter(({ prompt }) => prompt === deadly).map(({ solo }) => solo);
      expect(solos).toEqual([false, false, true]);
      await permitsBack(worker);
    });

    it('lets it end well when it was not to blame', async () => {
      let left = 2;
      const worker = new ScriptedWorker(
        'a',
        ends(() => (left-- > 0 ? fails('worker_hung') : DONE)),
      );
      await setUp([worker]);
      expect(await node.final(await node.submit())).toMatchObject({ state: 'succeeded', solo: true });
      await permitsBack(worker);
    });

    it('waits for the device, and gives nobody else a permit of it meanwhile', async () => {
      const gate = Promise.withResolvers<void>();
      const worker = new ScriptedWorker('a', (plan, ...rest) =>
        (plan.prompt === deadly ? ends(kills) : waitsFor(gate.promise, DONE))(plan, ...rest),
      );
      worker.suspends = false;
      await setUp([worker]);
      const company = await node.submit();
      await node.running(company);
      const poison = await node.submit({ prompt: deadly });
      await node.once(poison, ({ solo, state }) => solo && state === 'running');
      const late = await node.submit();
      await node.dispatcher.idle();
      expect((await node.store.get(late))?.state).toBe('queued');
      expect(node.leases.reservations('a:0')).toHaveLength(1);
      expect(worker.plans).toHaveLength(3);
      gate.resolve();
      expect((await node.final(poison)).attempts).toHaveLength(3);
      expect((await node.final(late)).state).toBe('succeeded');
      await permitsBack(worker);
    });

    it('can be cancelled while it waits for the device', async () => {
      const never = new Promise<void>(() => undefined);
      const worker = new ScriptedWorker('a', (plan, ...rest) =>
        (plan.prompt === deadly ? ends(kills) : waitsFor(never, DONE))(plan, ...rest),
      );
      await setUp([worker]);
      await node.running(await node.submit());
      const poison = await node.submit({ prompt: deadly });
      await node.once(poison, ({ solo, state }) => solo && state === 'running');
      await new CancelJob(node.store, node.events, new SystemClock()).cancel(poison, OPERATOR);
      expect((await node.final(poison)).state).toBe('cancelled');
      await permitsBack(worker, 3);
    });
  });

  it('drops what an attempt made whose claim was lost', async () => {
    const gate = Promise.withResolvers<void>();
    const worker = new ScriptedWorker('a', waitsFor(gate.promise, DONE));
    await setUp([worker], { permits: 1 });
    const id = await node.submit();
    await node.running(id);
    const why = failure('worker_lost', 'the node that ran it went silent');
    await node.store.reclaim({ kind: 'all' }, why, 20, Date.now());
    gate.resolve();
    expect(await node.final(id)).toMatchObject({
      attempts: [
        { outcome: 'failed', failure: { message: 'the node that ran it went silent' } },
        { outcome: 'succeeded' },
      ],
    });
    expect(await node.told(id, 'final')).toHaveLength(1);
    await permitsBack(worker, 1);
  });

  it('keeps the pictures of an attempt whose outcome was stored, though the answer was lost', async () => {
    const bytes = Buffer.from('a picture');
    const worker = new ScriptedWorker('a', async function* ({ stagingDir }) {
      await writeFile(join(stagingDir, '0.png'), bytes);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const picture = { index: 0, fileName: '0.png', mediaType: 'image/png', width: 64, height: 64, seed: '1' };
      yield { ...DONE, artifacts: [{ ...picture, bytes: bytes.length, sha256 }] };
    });
    await setUp([worker]);
    const complete = node.store.completeIfClaimed.bind(node.store);
    let told = 0;
    node.store.completeIfClaimed = async (...args) => {
      const recorded = await complete(...args);
      told += 1;
      if (told === 1) throw new StoreUnavailableError('the connection broke as it committed');
      return recorded;
    };
    const job = await node.final(await node.submit());
    await permitsBack(worker);
    expect(told).toBe(2);
    expect(job).toMatchObject({ state: 'succeeded', attempts: [{ outcome: 'succeeded' }] });
    expect((await node.artifacts.open(job.artifacts[0]!.key))?.bytes).toBe(bytes.length);
  });

  it('runs a lone job at once', async () => {
    const worker = new ScriptedWorker(
      'a',
      ends(() => DONE),
    );
    await setUp([worker], { permits: 16 });
    const job = await node.final(await node.submit());
    expect(job.attempts).toHaveLength(1);
    expect(worker.plans).toHaveLength(1);
  });
});
