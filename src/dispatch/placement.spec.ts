import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { modelDescription } from '../../test/support/api.js';
import type { DispatchingNode, DispatchOptions } from '../../test/support/dispatch.js';
import { DONE, SHAPES, startNode } from '../../test/support/dispatch.js';
import type { Script } from '../../test/support/scripted-worker.js';
import { ScriptedPool, ScriptedWorker, waitsFor } from '../../test/support/scripted-worker.js';
import { eventually } from '../../test/support/signals.js';
import { failure } from '../domain/failure/failure.js';
import type { Phase } from '../domain/job/phase.js';
import { spentAttempts } from '../domain/failure/decide-next.js';

const MINUTE = 60_000;

/** 1,300 bytes of weights; a picture of 64x64 takes 820 more to denoise and 205 more to decode. */
const MEASURED = {
  model: 'shapes',
  deviceKind: 'cpu',
  dtype: 'float32',
  weightsBytes: 1300,
  components: { text_encoder: 100, unet: 1000, vae: 200 },
  phases: [
    { phase: 'denoise', fixedBytes: 0, bytesPerPixel: 0.1, measured: true },
    { phase: 'decode', fixedBytes: 0, bytesPerPixel: 0.05, measured: true },
  ],
} as const;

const OTHER = modelDescription({ id: 'large', isDefault: false, components: { unet: 3000 } });

/** What the other model takes. */
const LARGE = { ...MEASURED, model: 'large', weightsBytes: 3000, components: { unet: 3000 } } as const;

const succeeds: Script = async function* () {
  await Promise.resolve();
  yield DONE;
};
const runsOut = (phase: Phase): Script =>
  async function* () {
    yield { type: 'phase', phase };
    await Promise.resolve();
    yield { type: 'failed', failure: failure('device_out_of_memory', 'no room', { phase }) };
  };

function worker(id: string, budgetBytes: number, script: Script): ScriptedWorker {
  return Object.assign(new ScriptedWorker(id, script), { budgetBytes });
}

describe('Placement', () => {
  let node: DispatchingNode;
  let pool: ScriptedPool;
  afterEach(() => node.close());

  const setUp = async (workers: readonly ScriptedWorker[], options: Omit<DispatchOptions, 'pool'> = {}) => {
    pool = new ScriptedPool(workers);
    node = await startNode({ pool, ...options });
    pool.measure(MEASURED);
    pool.measure(LARGE);
    await node.dispatcher.idle();
  };

  it('starts a plan lower that would not fit, and tells so', async () => {
    const small = worker('a', 2000, succeeds);
    await setUp([small]);
    const job = await node.final(await node.submit());
    const told = { rung: 'phase_residency', fidelity: 'identical', cause: 'predicted' };
    expect(job).toMatchObject({
      state: 'succeeded',
      degradations: [{ ...told, attempt: 1 }],
      attempts: [{ degradations: [told] }],
    });
    expect(await node.told(job.id, 'degradation')).toMatchObject([told]);
    expect(small.plans[0]?.memory.residency).toEqual({ text_encoder: 'phase', unet: 'phase', vae: 'phase' });
  });

  it('leaves a plan as it is that fits', async () => {
    const roomy = worker('a', 4000, succeeds);
    await setUp([roomy]);
    const job = await node.final(await node.submit());
    expect(job).toMatchObject({ degradations: [], attempts: [{ degradations: [] }] });
    expect(roomy.plans[0]?.memory.residency).toEqual({});
  });

  it('passes a job on to a worker with room, at no cost, when no rung the request accepts makes it fit', async () => {
    const [small, roomy] = [worker('a', 2000, succeeds), worker('b', 4000, succeeds)];
    await setUp([small, roomy]);
    const job = await node.final(await node.submit({ max_degradation: 'none' }));
    expect(job).toMatchObject({
      state: 'succeeded',
      degradations: [],
      attempts: [{ outcome: 'returned' }, { worker: 'b', outcome: 'succeeded' }],
    });
    expect(spentAttempts(job.attempts, { kind: 'internal', phase: null })).toBe(1);
    expect(small.plans).toEqual([]);
  });

  it('tries it all the same where there is no other: a prediction may be wrong', async () => {
    const small = worker('a', 2000, succeeds);
    await setUp([small]);
    expect((await node.final(await node.submit({ max_degradation: 'none' }))).state).toBe('succeeded');
    expect(small.plans).toHaveLength(1);
  });

  it('says what would have fitted when it ends for want of memory', async () => {
    await setUp([worker('a', 2000, runsOut('denoise'))]);
    const job = await node.final(await node.submit({ max_degradation: 'none' }));
    expect(job).toMatchObject({ state: 'failed', failure: { kind: 'device_out_of_memory' } });
    expect(job.failure?.message).toContain('the largest size expected to fit there is about 56x56');
  });

  it('learns from what did not fit although it should have', async () => {
    const wrong = worker('a', 4000, async function* (plan, ...rest) {
      const isLow = plan.memory.residency['unet'] === 'phase';
      yield* (isLow ? succeeds : runsOut('denoise'))(plan, ...rest);
    });
    await setUp([wrong]);
    // Once may be chance.
    for (let nth = 0; nth < 2; nth++) expect((await node.final(await node.submit())).attempts).toHaveLength(2);
    const third = await node.final(await node.submit());
    expect(third.attempts).toHaveLength(1);
    expect(third.degradations).toMatchObject([{ rung: 'phase_residency', cause: 'predicted' }]);
  });

  it('does not hold one that did not fit against those that do', async () => {
    let ran = 0;
    const once = worker('a', 4000, async function* (plan, ...rest) {
      ran += 1;
      yield* (ran === 1 || ran === 4 ? runsOut('denoise') : succeeds)(plan, ...rest);
    });
    await setUp([once]);
    for (let nth = 0; nth < 4; nth++) {
      const job = await node.final(await node.submit());
      expect(job.degradations.filter(({ cause }) => cause === 'predicted')).toEqual([]);
    }
  });

  it('does not blame a plan for what others had taken', async () => {
    const gate = Promise.withResolvers<void>();
    const crowded = worker('a', 8000, (plan, ...rest) =>
      (plan.model.id === 'large' ? waitsFor(gate.promise, DONE) : runsOut('denoise'))(plan, ...rest),
    );
    await setUp([crowded], { models: [SHAPES, OTHER] });
    const company = await node.submit({ model: 'large' });
    await node.running(company);
    const id = await node.submit({ max_degradation: 'none' });
    await node.once(id, ({ solo, state }) => solo && state === 'running');
    expect(node.footprints.of(SHAPES, 'cpu')?.overruns).toEqual([]);
    gate.resolve();
    expect((await node.final(id)).state).toBe('failed');
    expect(node.footprints.of(SHAPES, 'cpu')?.overruns).toMatchObject([{ phase: 'denoise' }]);
  });

  it('remembers over a restart what was measured', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'safelight-placement-'));
    try {
      await setUp([], { folder });
      await node.close();
      node = await startNode({ pool: new ScriptedPool([]), folder });
      expect(node.footprints.of(SHAPES, 'cpu')).toEqual({ ...MEASURED, overruns: [] });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  describe('of models that share a device', () => {
    const models = [SHAPES, OTHER];
    const started = (one: ScriptedWorker) => one.plans.map(({ attemptId }) => attemptId.split('/')[0]);

    it('runs them together when they fit, and one after the other when they do not', async () => {
      for (const [budgetBytes, together] of [
        [8000, true],
        [4000, false],
      ] as const) {
        const gate = Promise.withResolvers<void>();
        const shared = worker('a', budgetBytes, waitsFor(gate.promise, DONE));
        await setUp([shared], { models });
        const first = await node.submit();
        await node.running(first);
        const second = await node.submit({ model: 'large' });
        await node.dispatcher.idle();
        if (together) await node.running(second);
        else expect((await node.store.get(second))?.state).toBe('queued');
        gate.resolve();
        await Promise.all([node.final(first), node.final(second)]);
        await node.close();
      }
      await setUp([]);
    });

    it('gives a job its turn that others overtook too far', async () => {
      const gate = Promise.withResolvers<void>();
      const shared = worker('a', 4000, waitsFor(gate.promise, DONE));
      await setUp([shared], { models });
      const first = await node.submit();
      await node.running(first);
      const large = await node.submit({ model: 'large' }, Date.now() - MINUTE);
      const late = await node.submit();
      await node.dispatcher.idle();
      expect((await node.store.get(late))?.state).toBe('queued');
      gate.resolve();
      await Promise.all([first, large, late].map((id) => node.final(id)));
      expect(started(shared)).toEqual([first, large, late]);
    });

    it('gives it its turn on another worker when the one kept for it is drained', async () => {
      const gates = { a: Promise.withResolvers<void>(), b: Promise.withResolvers<void>() };
      const kept = worker('a', 4000, waitsFor(gates.a.promise, DONE));
      const other = worker('b', 4000, waitsFor(gates.b.promise, DONE));
      await setUp([kept, other], { models });
      const [first, second] = [await node.submit(), await node.submit()];
      await Promise.all([first, second].map((id) => node.running(id)));
      const large = await node.submit({ model: 'large' }, Date.now() - MINUTE);
      await node.dispatcher.idle();
      pool.drain('a');
      gates.a.resolve();
      await node.final(started(kept)[0]!);
      await eventually('the permit back', () => Promise.resolve(node.inFlight.on('a').length === 0 || null));
      const late = await node.submit();
      await node.dispatcher.idle();
      expect((await node.store.get(late))?.state).toBe('queued');
      gates.b.resolve();
      await Promise.all([large, late].map((id) => node.final(id)));
      expect(started(other).slice(1)).toEqual([large, late]);
    });

    it('keeps one worker for a job, not all', async () => {
      const gate = Promise.withResolvers<void>();
      const workers = ['a', 'b'].map((id) => worker(id, 4000, waitsFor(gate.promise, DONE)));
      await setUp(workers, { models });
      const ids = [await node.submit(), await node.submit()];
      await Promise.all(ids.map((id) => node.running(id)));
      const large = await node.submit({ model: 'large' }, Date.now() - MINUTE);
      await node.dispatcher.idle();
      const late = await node.submit();
      await node.running(late);
      expect(workers.flatMap(started)).not.toContain(large);
      gate.resolve();
      await Promise.all([...ids, large, late].map((id) => node.final(id)));
    });

    it('keeps no permit free for one that was not', async () => {
      const gate = Promise.withResolvers<void>();
      const shared = worker('a', 4000, waitsFor(gate.promise, DONE));
      await setUp([shared], { models });
      const first = await node.submit();
      await node.running(first);
      const large = await node.submit({ model: 'large' });
      const late = await node.submit();
      await node.running(late);
      gate.resolve();
      await Promise.all([first, large, late].map((id) => node.final(id)));
      expect(started(shared)).toEqual([first, late, large]);
    });
  });
});
