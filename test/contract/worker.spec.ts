import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { pino } from 'pino';

import { WorkersConfig } from '../../src/config/workers.config.js';
import type { AttemptEvent, ReadyWorker } from '../../src/dispatch/ports/worker-pool.port.js';
import type { ExecutionPlan } from '../../src/domain/generation/execution-plan.js';
import { NOISE_SCHEDULERS } from '../../src/domain/generation/noise-scheduler.js';
import { SupervisedWorkerPool } from '../../src/workers/supervised-worker-pool.js';
import { WorkerClient } from '../../src/workers/client/worker-client.js';
import { eventually } from '../support/signals.js';
import { tinyModelDir } from '../support/tiny-model.js';

const CPU = { id: 'cpu:0', kind: 'cpu' as const, name: 'CPU' };

/** What every worker must do, seen from the orchestrator: the real Python process with a tiny real pipeline. */
describe('a worker', () => {
  let dataDir: string;
  let model: ExecutionPlan['model'];
  let pool: SupervisedWorkerPool;

  function newPool(config: ConstructorParameters<typeof WorkersConfig>[0] = {}): SupervisedWorkerPool {
    return new SupervisedWorkerPool({
      node: 'test',
      devices: [CPU],
      config: new WorkersConfig({ threads: 1, restartBaseMs: 1, restartCapMs: 1, healthIntervalMs: 100, ...config }),
      workerDir: resolve('python-worker'),
      dataDir,
      preload: null,
      logLevel: 'info',
      log: pino({ level: process.env['SAFELIGHT_TEST_LOG'] ?? 'silent' }),
    });
  }

  async function ready(from: SupervisedWorkerPool): Promise<ReadyWorker> {
    return eventually('the worker is ready', () => Promise.resolve(from.ready()[0] ?? null));
  }

  beforeAll(async () => {
    dataDir = mkdtempSync(join(tmpdir(), 'sl-'));
    model = { id: 'tiny', source: await tinyModelDir(), dtype: null, variant: null };
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
      seeds: ['7'],
      width: 64,
      height: 64,
      scheduler: 'DPMSolverMultistepScheduler',
      schedulerOptions: { use_karras_sigmas: true },
      outputFormat: 'png',
      stagingDir,
      fileMetadata: { prompt: 'a red circle' },
      solo: false,
      previewIntervalMs: 0,
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
      'a model folder that is not there',
      { model: { id: 'gone', source: '/nowhere', dtype: null, variant: null } },
      'model_unavailable',
      undefined,
    ],
  ] as const)('refuses %s as data, and goes on', async (_, changes, kind, field) => {
    const worker = await ready(pool);
    const last = (await play(worker, plan(changes))).at(-1);
    expect(last).toMatchObject({ type: 'failed', failure: { kind } });
    if (field !== undefined) expect(last).toMatchObject({ failure: { field } });
    expect((await play(worker, plan())).at(-1)?.type).toBe('result');
  });

  it('accepts the noise schedulers and options the API offers, no more and no fewer', async () => {
    const { pid } = pool.list()[0]!;
    const socket = readdirSync(join(dataDir, 'run')).find((name) => name.endsWith('.sock'));
    const client = new WorkerClient(`unix:${join(dataDir, 'run', socket!)}`, CPU);
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
