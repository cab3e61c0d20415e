import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { credentials } from '@grpc/grpc-js';
import { pino } from 'pino';

import { WorkersConfig } from '../../src/config/workers.config.js';
import type { AttemptEvent, ReadyWorker } from '../../src/dispatch/ports/worker-pool.port.js';
import { isTerminal } from '../../src/dispatch/ports/worker-pool.port.js';
import type { ExecutionPlan } from '../../src/domain/generation/execution-plan.js';
import { PLAIN_SERVING } from '../../src/domain/generation/model-description.js';
import { NOISE_SCHEDULERS } from '../../src/domain/generation/noise-scheduler.js';
import { WorkerServiceClient } from '../../src/gen/safelight/worker/v1/worker.pb.js';
import type { PoolOptions } from '../../src/workers/supervised-worker-pool.js';
import { SupervisedWorkerPool } from '../../src/workers/supervised-worker-pool.js';
import { WorkerClient } from '../../src/workers/client/worker-client.js';
import { pngOf } from '../support/pictures.js';
import { eventually } from '../support/signals.js';
import { tinyModelDir } from '../support/tiny-model.js';

const CPU = { id: 'cpu:0', kind: 'cpu' as const, name: 'CPU' };

function plannedModel(id: string, source: string): ExecutionPlan['model'] {
  const { config, quantization, compile, channelsLast, fuseProjections } = PLAIN_SERVING;
  return { id, source, dtype: null, variant: null, config, quantization, compile, channelsLast, fuseProjections };
}

/** What every worker must do, seen from the orchestrator: the real Python process with a tiny real pipeline. */
describe('a worker', () => {
  let dataDir: string;
  let model: ExecutionPlan['model'];
  let pool: SupervisedWorkerPool;

  function newPool(
    config: ConstructorParameters<typeof WorkersConfig>[0] = {},
    models: Partial<Pick<PoolOptions, 'preload' | 'keptAlive'>> = {},
  ): SupervisedWorkerPool {
    return new SupervisedWorkerPool({
      node: 'test',
      devices: [CPU],
      config: new WorkersConfig({ threads: 1, restartBaseMs: 1, restartCapMs: 1, healthIntervalMs: 100, ...config }),
      workerDir: resolve('python-worker'),
      dataDir,
      preload: [],
      keptAlive: [],
      ...models,
      logLevel: 'info',
      log: pino({ level: process.env['SAFELIGHT_TEST_LOG'] ?? 'silent' }),
    });
  }

  async function ready(from: SupervisedWorkerPool): Promise<ReadyWorker> {
    return eventually('the worker is ready', () => Promise.resolve(from.ready()[0] ?? null));
  }

  beforeAll(async () => {
    dataDir = mkdtempSync(join(tmpdir(), 'sl-'));
    model = plannedModel('tiny', await tinyModelDir());
    pool = newPool();
    pool.start();
    await ready(pool);
  });
  afterAll(async () => {
    await pool.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  let attempts = 0;
  function plan(changes: Partial<ExecutionPlan> = {}): ExecutionPlan {
    attempts += 1;
    const stagingDir = join(dataDir, `staging-${attempts}`);
    mkdirSync(stagingDir);
    return {
      attemptId: `job/${attempts}`,
      priorityRank: 2,
      model,
      prompt: 'a red circle',
      negativePrompt: '',
      numInferenceSteps: 4,
      guidanceScale: 5,
      trueCfgScale: null,
      seeds: ['7'],
      width: 64,
      height: 64,
      numFrames: null,
      inputs: { initImage: null, maskImage: null, strength: null, controls: [], ipAdapter: null },
      loras: [],
      memory: PLAIN_SERVING.memory,
      scheduler: 'DPMSolverMultistepScheduler',
      schedulerOptions: { use_karras_sigmas: true },
      outputFormat: 'png',
      stagingDir,
      fileMetadata: { prompt: 'a red circle' },
      exact: false,
      previewIntervalMs: 0,
      checkpointIntervalMs: 0,
      ...changes,
    };
  }
  const LONG = { numInferenceSteps: 900, width: 128, height: 128 };

  async function play(
    worker: ReadyWorker,
    of: ExecutionPlan,
    on: (event: AttemptEvent) => void = () => undefined,
    signal = new AbortController().signal,
  ) {
    const events: AttemptEvent[] = [];
    for await (const event of worker.run(of, signal)) {
      events.push(event);
      on(event);
    }
    return events;
  }

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

  it('gives an attempt back with a checkpoint when it is told to, and knows no other', async () => {
    const of = plan(LONG);
    const client = new WorkerServiceClient(address(), credentials.createInsecure());
    const suspend = (attemptId: string) =>
      new Promise<boolean>((done, failed) => {
        client.suspend({ attemptId }, (error, response) => (error === null ? done(response.found) : failed(error)));
      });
    try {
      const answers: Promise<boolean>[] = [];
      const events = await play(await ready(pool), of, (event) => {
        if (event.type === 'step' && answers.length === 0) answers.push(suspend('job/none'), suspend(of.attemptId));
      });
      expect(await Promise.all(answers)).toEqual([false, true]);
      const last = events.at(-1);
      if (last?.type !== 'suspended' || last.checkpoint === null) throw new Error(JSON.stringify(last));
      expect(isTerminal(last)).toBe(true);
      const { fileName, step, bytes } = last.checkpoint;
      expect(step).toBeGreaterThan(0);
      expect(step).toBeLessThan(LONG.numInferenceSteps);
      expect(statSync(join(of.stagingDir, fileName)).size).toBe(bytes);
    } finally {
      client.close();
    }
  });

  it('loses its attempts, not its place, when it is killed', async () => {
    const worker = await ready(pool);
    const before = pool.list()[0]!;
    const events = await play(worker, plan(LONG), (event) => {
      if (event.type === 'step') process.kill(before.pid!, 'SIGKILL');
    });
    expect(events.at(-1)).toMatchObject({ type: 'failed', failure: { kind: 'worker_lost', phase: 'denoise' } });
    await ready(pool);
    const after = pool.list()[0]!;
    expect(after.pid).not.toBe(before.pid);
    expect(after.restarts).toBe(before.restarts + 1);
  });

  it('is killed and replaced when it no longer answers', async () => {
    const own = newPool({ stallTimeoutMs: 1500 });
    own.start();
    try {
      const worker = await ready(own);
      const { pid } = own.list()[0]!;
      const events = await play(worker, plan(LONG), (event) => {
        if (event.type === 'step') process.kill(pid!, 'SIGSTOP');
      });
      expect(events.at(-1)).toMatchObject({ type: 'failed', failure: { kind: 'worker_hung' } });
      await ready(own);
    } finally {
      await own.stop();
    }
  });

  it('lets a model go after the time the settings give it, whatever brought it there, and keeps a pinned one', async () => {
    const { memory } = PLAIN_SERVING;
    const pinned = { ...plannedModel('pinned', model.source), pinned: true, keepAliveMs: null, memory };
    const brief = { ...model, pinned: false, keepAliveMs: 1, memory };
    const own = newPool({}, { preload: [pinned], keptAlive: [brief] });
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
    const inputs = { initImage, maskImage: null, strength: 0.5, controls: [], ipAdapter: null };
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

  it('that cannot be started says why, and is tried again', async () => {
    const own = newPool({ python: '/nowhere/python' });
    own.start();
    try {
      const broken = await eventually('it was tried twice', () => {
        const worker = own.list()[0]!;
        return Promise.resolve(worker.restarts >= 2 && worker.state === 'defunct' ? worker : null);
      });
      expect(broken.reason).toContain('/nowhere/python');
    } finally {
      await own.stop();
    }
  });
});
