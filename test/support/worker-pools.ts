import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { pino } from 'pino';

import { WorkersConfig } from '../../src/config/workers.config.js';
import type { AttemptEvent, ReadyWorker } from '../../src/dispatch/ports/worker-pool.port.js';
import type { ExecutionPlan } from '../../src/domain/generation/execution-plan.js';
import { PLAIN_SERVING } from '../../src/domain/generation/model-description.js';
import type { WorkerDescription } from '../../src/domain/placement/worker-description.js';
import type { LoadableModel } from '../../src/workers/client/plan-to-wire.js';
import type { PoolOptions } from '../../src/workers/supervised-worker-pool.js';
import { SupervisedWorkerPool } from '../../src/workers/supervised-worker-pool.js';
import { eventually } from './signals.js';

export const CPU = { id: 'cpu:0', kind: 'cpu' as const, name: 'CPU' };

export function plannedModel(id: string, source: string): ExecutionPlan['model'] {
  const { config, quantization, compile, channelsLast, fuseProjections } = PLAIN_SERVING;
  return { id, source, dtype: null, variant: null, config, quantization, compile, channelsLast, fuseProjections };
}

export function servedModel(model: ExecutionPlan['model'], changes: Partial<LoadableModel> = {}): LoadableModel {
  return { ...model, pinned: false, keepAliveMs: null, memory: PLAIN_SERVING.memory, ...changes };
}

/** Real Python workers on the CPU with one thread, which are looked at often. */
export function workerPool(
  dataDir: string,
  config: ConstructorParameters<typeof WorkersConfig>[0] = {},
  models: Partial<Pick<PoolOptions, 'preload' | 'served'>> = {},
): SupervisedWorkerPool {
  return new SupervisedWorkerPool({
    node: 'test',
    devices: [CPU],
    config: new WorkersConfig({ threads: 1, restartBaseMs: 1, restartCapMs: 1, healthIntervalMs: 100, ...config }),
    workerDir: resolve('python-worker'),
    dataDir,
    preload: [],
    served: [],
    ...models,
    logLevel: 'info',
    log: pino({ level: process.env['SAFELIGHT_TEST_LOG'] ?? 'silent' }),
  });
}

export async function readyWorker(pool: SupervisedWorkerPool): Promise<ReadyWorker> {
  return eventually('the worker is ready', () => Promise.resolve(pool.ready()[0] ?? null));
}

/** The only worker of a pool, once it is as wanted. */
export async function workerThat(
  what: string,
  pool: SupervisedWorkerPool,
  is: (worker: WorkerDescription) => boolean,
): Promise<WorkerDescription> {
  return eventually(`the worker ${what}`, () => {
    const worker = pool.list()[0]!;
    return Promise.resolve(is(worker) ? worker : null);
  });
}

let attempts = 0;

/** Four steps of a small picture, with a staging folder of its own. */
export function smallPlan(
  dataDir: string,
  model: ExecutionPlan['model'],
  changes: Partial<ExecutionPlan> = {},
): ExecutionPlan {
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
    inputs: {
      initImage: null,
      maskImage: null,
      maskTransparencyPainted: false,
      strength: null,
      controls: [],
      ipAdapter: null,
    },
    loras: [],
    memory: PLAIN_SERVING.memory,
    scheduler: 'DPMSolverMultistepScheduler',
    schedulerOptions: { use_karras_sigmas: true },
    outputFormat: 'png',
    outputQuality: null,
    stagingDir,
    fileMetadata: { prompt: 'a red circle' },
    isReduced: false,
    exact: false,
    solo: false,
    maxImages: null,
    resumeFrom: null,
    previewIntervalMs: 0,
    checkpointIntervalMs: 0,
    ...changes,
  };
}

/** More steps than a test waits for. */
export const LONG = { numInferenceSteps: 900, width: 128, height: 128 };

/** All events of an attempt. */
export async function play(
  worker: ReadyWorker,
  plan: ExecutionPlan,
  on: (event: AttemptEvent) => void = () => undefined,
  signal = new AbortController().signal,
): Promise<AttemptEvent[]> {
  const events: AttemptEvent[] = [];
  for await (const event of worker.run(plan, signal)) {
    events.push(event);
    on(event);
  }
  return events;
}
