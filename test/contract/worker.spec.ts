import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { WorkersConfig } from '../../src/config/workers.config.js';
import { isTerminal } from '../../src/dispatch/ports/worker-pool.port.js';
import type { ExecutionPlan } from '../../src/domain/generation/execution-plan.js';
import { PLAIN_SERVING } from '../../src/domain/generation/model-description.js';
import { NOISE_SCHEDULERS } from '../../src/domain/generation/noise-scheduler.js';
import type { ModelFootprint } from '../../src/domain/placement/footprint.js';
import type { PoolOptions, SupervisedWorkerPool } from '../../src/workers/supervised-worker-pool.js';
import { WorkerClient } from '../../src/workers/client/worker-client.js';
import { pngOf } from '../support/pictures.js';
import { eventually } from '../support/signals.js';
import { tinyModelDir } from '../support/tiny-model.js';
import * as pools from '../support/worker-pools.js';
import { CPU, LONG, plannedModel, play, readyWorker as ready, servedModel } from '../support/worker-pools.js';

/** What every worker must do, seen from the orchestrator: the real Python process with a tiny real pipeline. */
describe('a worker', () => {
  let dataDir: string;
  let model: ExecutionPlan['model'];
  let pool: SupervisedWorkerPool;
  const footprints: Omit<ModelFootprint, 'overruns'>[] = [];

  const newPool = (
    config: ConstructorParameters<typeof WorkersConfig>[0] = {},
    models: Partial<Pick<PoolOptions, 'preload' | 'served'>> = {},
  ) => pools.workerPool(dataDir, config, models);
  const plan = (changes: Partial<ExecutionPlan> = {}) => pools.smallPlan(dataDir, model, changes);

  beforeAll(async () => {
    dataDir = mkdtempSync(join(tmpdir(), 'sl-'));
    model = plannedModel('tiny', await tinyModelDir());
    pool = newPool({}, { served: [servedModel(model)] });
    pool.onFootprint((footprint) => footprints.push(footprint));
    pool.start();
    await ready(pool);
  });
  afterAll(async () => {
    await pool.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  /** Of the one worker that runs. */
  function address(): string {
    const socket = readdirSync(join(dataDir, 'run')).find((name) => name.endsWith('.sock'));
    return `unix:${join(dataDir, 'run', socket!)}`;
  }

  it('tells phases in order, every step, and a picture that is the file it says it is', async () => {
    const of = plan({ seeds: ['7', '9223372036854775807'] });
    const events = await play(await ready(pool), of);
    expect(events[0]).toEqual({ type: 'accepted' });
    const phases = events.flatMap((event) => (event.type === 'phase' ? [event.phase] : []));
    expect(phases.filter((phase) => phase !== 'load')).toEqual([
      'encode',
      'prepare',
      'denoise',
      'decode',
      'validate',
      'save',
    ]);
    expect(events.flatMap((event) => (event.type === 'step' ? [event.step] : [])).at(-1)).toBe(4);
    const result = events.at(-1);
    if (result?.type !== 'result') throw new Error(JSON.stringify(result));
    expect(result.artifacts.map(({ seed }) => seed)).toEqual(of.seeds);
    for (const artifact of result.artifacts) {
      const bytes = readFileSync(join(of.stagingDir, artifact.fileName));
      expect(bytes.length).toBe(artifact.bytes);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(artifact.sha256);
    }
    expect(readdirSync(of.stagingDir)).toHaveLength(2);
    expect(result.effective).toMatchObject({
      num_inference_steps: 4,
      scheduler: 'DPMSolverMultistepScheduler',
      device: 'cpu:0',
      dtype: 'float32',
    });
    expect(events.filter(({ type }) => type === 'result')).toHaveLength(1);
  });

  it('stops at the next step when it is told to, and leaves no file', async () => {
    const of = plan(LONG);
    const stop = new AbortController();
    const events = await play(await ready(pool), of, (event) => event.type === 'step' && stop.abort(), stop.signal);
    expect(events.at(-1)).toEqual({ type: 'cancelled' });
    expect(readdirSync(of.stagingDir)).toEqual([]);
  });

  it('stops an attempt that was cancelled before it was accepted', async () => {
    const events = await play(await ready(pool), plan(LONG), undefined, AbortSignal.abort());
    expect(events.at(-1)).toEqual({ type: 'cancelled' });
  });

  it('sends previews while they are wanted only', async () => {
    const worker = await ready(pool);
    const of = plan(LONG);
    const stop = new AbortController();
    let steps = 0;
    const events = await play(
      worker,
      of,
      (event) => {
        if (event.type === 'step' && (steps += 1) === 2) void worker.setPreviews(of.attemptId, 100);
        if (event.type === 'preview') stop.abort();
      },
      stop.signal,
    );
    const preview = events.find((event) => event.type === 'preview');
    expect(preview).toMatchObject({ mediaType: 'image/jpeg' });
    expect(events.at(-1)).toEqual({ type: 'cancelled' });
    const unwatched = await play(worker, plan());
    expect(unwatched.some(({ type }) => type === 'preview')).toBe(false);
  });

  it.each([
    ['a size that is no multiple of 8', { width: 65 }, 'invalid_request', 'width'],
    ['an unknown noise scheduler', { scheduler: 'NoScheduler' }, 'invalid_request', 'scheduler'],
    [
      'an option the scheduler has not',
      { schedulerOptions: { nonsense: true } },
      'invalid_request',
      'scheduler_options.nonsense',
    ],
    [
      'a LoRA that is not there',
      { loras: [{ id: 'ink', source: '/nowhere/ink.safetensors', weight: 1 }] },
      'model_unavailable',
      undefined,
    ],
    ['a model folder that is not there', { model: plannedModel('gone', '/nowhere') }, 'model_unavailable', undefined],
  ] as const)('refuses %s as data, and goes on', async (_, changes, kind, field) => {
    const worker = await ready(pool);
    const last = (await play(worker, plan(changes))).at(-1);
    expect(last).toMatchObject({ type: 'failed', failure: { kind } });
    if (field !== undefined) expect(last).toMatchObject({ failure: { field } });
    expect((await play(worker, plan())).at(-1)?.type).toBe('result');
  });

  it('accepts the noise schedulers and options the API offers, no more and no fewer', async () => {
    const { pid } = pool.list()[0]!;
    const client = new WorkerClient(address(), CPU);
    try {
      const description = await client.describe();
      expect(description.pid).toBe(pid);
      const theirs = Object.fromEntries(
        description.schedulers.map(({ className, options }) => [className, options.toSorted()]),
      );
      const ours = Object.fromEntries(
        Object.entries(NOISE_SCHEDULERS).map(([name, rules]) => [name, Object.keys(rules).toSorted()]),
      );
      expect(theirs).toEqual(ours);
    } finally {
      client.close();
    }
  });

  it('tells what a model takes that an attempt brought, and how much there is', async () => {
    const worker = await ready(pool);
    expect((await play(worker, plan())).at(-1)?.type).toBe('result');
    const told = await eventually('the footprint', () => Promise.resolve(footprints[0] ?? null));
    expect(told).toMatchObject({ model: 'tiny', deviceKind: 'cpu', dtype: 'float32' });
    expect(told.weightsBytes).toBeGreaterThan(0);
    expect(Object.keys(told.components)).toEqual(expect.arrayContaining(['text_encoder', 'unet', 'vae']));
    expect(told.phases.map(({ phase }) => phase)).toContain('denoise');
    expect(worker.qualifiedId).toBe('test/cpu-0');
    expect(worker.budgetBytes).toBeGreaterThan(2 ** 20);
  });

  it('gives an attempt back with a checkpoint when it is told to, and knows no other', async () => {
    const worker = await ready(pool);
    const of = plan(LONG);
    const answers: Promise<boolean>[] = [];
    const events = await play(worker, of, (event) => {
      if (event.type === 'step' && answers.length === 0)
        answers.push(worker.suspend('job/none'), worker.suspend(of.attemptId));
    });
    expect(await Promise.all(answers)).toEqual([false, true]);
    const last = events.at(-1);
    if (last?.type !== 'suspended' || last.checkpoint === null) throw new Error(JSON.stringify(last));
    expect(isTerminal(last)).toBe(true);
    const { fileName, step, bytes } = last.checkpoint;
    expect(step).toBeGreaterThan(0);
    expect(step).toBeLessThan(LONG.numInferenceSteps);
    expect(statSync(join(of.stagingDir, fileName)).size).toBe(bytes);
    const on = plan({ ...LONG, resumeFrom: join(of.stagingDir, fileName) });
    const steps = await play(worker, on, (event) => event.type === 'step' && void worker.suspend(on.attemptId));
    expect(steps.find((event) => event.type === 'step')).toMatchObject({ step: step + 1 });
    expect(steps.at(-1)?.type).toBe('suspended');
  });

  it('is left at once by who says so, and lets go of the attempt', async () => {
    const client = new WorkerClient(address(), CPU);
    const of = plan(LONG);
    const leave = new AbortController();
    const why = new Error('it was forgotten');
    const listed = async () => (await client.health(5000)).attemptIds.includes(of.attemptId);
    try {
      const run = async () => {
        for await (const event of client.run(of, { cancel: new AbortController().signal, leave: leave.signal }))
          if (event.type === 'step' && (await listed())) leave.abort(why);
      };
      await expect(run()).rejects.toBe(why);
      await eventually('the worker let go', async () => ((await listed()) ? null : true));
    } finally {
      client.close();
    }
  });

  it('loses its attempts, not its place, when it is killed, and another goes on to the same bits', async () => {
    const worker = await ready(pool);
    const before = pool.list()[0]!;
    const wanted = { numInferenceSteps: 60, exact: true };
    const whole = await play(worker, plan(wanted));
    const of = plan({ ...wanted, checkpointIntervalMs: 1 });
    const events = await play(worker, of, (event) => {
      if (event.type === 'checkpoint') process.kill(before.pid!, 'SIGKILL');
    });
    const mark = events.find((event) => event.type === 'checkpoint');
    expect(events.at(-1)).toMatchObject({ type: 'failed', failure: { kind: 'worker_lost', phase: 'denoise' } });
    const replacement = await ready(pool);
    const after = pool.list()[0]!;
    expect(after.pid).not.toBe(before.pid);
    expect(after.restarts).toBe(before.restarts + 1);
    const resumeFrom = join(of.stagingDir, mark!.checkpoint.fileName);
    const resumed = await play(replacement, plan({ ...wanted, resumeFrom }));
    const [one, other] = [whole.at(-1), resumed.at(-1)];
    if (one?.type !== 'result' || other?.type !== 'result') throw new Error(JSON.stringify([one, other]));
    expect(other.effective['resumed_at_step']).toBeGreaterThanOrEqual(mark!.checkpoint.step);
    expect(other.artifacts[0]?.sha256).toBe(one.artifacts[0]?.sha256);
  });

  it('lets a model go after the time the settings give it, whatever brought it there, and keeps a pinned one', async () => {
    const { memory } = PLAIN_SERVING;
    const pinned = servedModel(plannedModel('pinned', model.source), { pinned: true, memory });
    const brief = servedModel(model, { keepAliveMs: 1, memory });
    const own = newPool({}, { preload: [pinned], served: [pinned, brief] });
    own.start();
    const models = (wanted: readonly string[]) =>
      eventually(`the worker holds ${wanted.join(' and ')}`, () => {
        const held = own.list()[0]!.models;
        return Promise.resolve(held.length === wanted.length && wanted.every((id) => held.includes(id)) ? held : null);
      });
    try {
      const worker = await ready(own);
      const stop = new AbortController();
      const run = play(worker, plan(LONG), undefined, stop.signal);
      await models(['pinned', 'tiny']);
      stop.abort();
      expect((await run).at(-1)).toEqual({ type: 'cancelled' });
      await models(['pinned']);
    } finally {
      await own.stop();
    }
  });

  it('draws from pictures, and says which of them it cannot read', async () => {
    const initImage = join(dataDir, 'init.png');
    writeFileSync(
      initImage,
      pngOf(64, 64, (x, y) => [4 * x, 4 * y, 0]),
    );
    const inputs = {
      initImage,
      maskImage: null,
      maskTransparencyPainted: false,
      strength: 0.5,
      controls: [],
      ipAdapter: null,
    };
    const worker = await ready(pool);
    const events = await play(worker, plan({ inputs, exact: true }));
    expect(events.at(-1)).toMatchObject({
      type: 'result',
      effective: {
        exact_rows: expect.any(Number),
        resumed_at_step: 0,
        decoded_in_float32: false,
        memory: expect.anything(),
      },
    });
    expect(events.flatMap((event) => (event.type === 'step' ? [event.steps] : [])).at(-1)).toBe(2);
    const broken = { ...inputs, maskImage: join(dataDir, 'none.png') };
    expect((await play(worker, plan({ inputs: broken }))).at(-1)).toMatchObject({
      type: 'failed',
      failure: { field: 'mask_image' },
    });
  });
});
