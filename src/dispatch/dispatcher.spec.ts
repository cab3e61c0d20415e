import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import { newJob } from '../../test/support/jobs.js';
import type { Script } from '../../test/support/scripted-worker.js';
import { ScriptedPool, ScriptedWorker, waitsFor } from '../../test/support/scripted-worker.js';
import { FilesystemArtifactStore } from '../artifacts/filesystem-artifact-store.js';
import { RetryConfig } from '../config/retry.config.js';
import { StorageConfig } from '../config/storage.config.js';
import { WorkersConfig } from '../config/workers.config.js';
import { DeviceLeasePool } from '../devices/device-lease-pool.js';
import { failure } from '../domain/failure/failure.js';
import type { ModelDescription } from '../domain/generation/model-description.js';
import type { GenerationRequest } from '../domain/generation/generation-request.js';
import { PLAIN_SERVING } from '../domain/generation/model-description.js';
import { FAMILY_PROFILES } from '../domain/generation/pipeline-family.js';
import type { Job } from '../domain/job/job.js';
import { isFinal } from '../domain/job/job-state.js';
import { InProcessJobEvents } from '../events/in-process-job-events.js';
import { CancelJob } from '../jobs/cancel/cancel-job.js';
import { CancelRequests } from '../jobs/cancel/cancel-requests.js';
import { StoreUnavailableError } from '../jobs/ports/job-store.port.js';
import { countedAttempts } from '../jobs/ports/job-store.port.js';
import type { ModelCatalog } from '../jobs/ports/model-catalog.port.js';
import { SqliteJobStore } from '../persistence/sqlite/sqlite-job-store.js';
import { SystemClock } from '../system-clock.js';
import { AttemptRunner } from './attempt-runner.js';
import { Dispatcher } from './dispatcher.js';
import { DueJobs } from './maintenance/due-jobs.js';
import type { AttemptEvent } from './ports/worker-pool.port.js';

const LOG = pino({ level: 'silent' });
const DONE: AttemptEvent = { type: 'result', artifacts: [], phases: [], effective: { dtype: 'float32' } };
const SHAPES: ModelDescription = {
  ...PLAIN_SERVING,
  id: 'shapes',
  source: '/models/shapes',
  pipelineClass: 'StableDiffusionPipeline',
  family: 'sd15',
  dtype: null,
  variant: null,
  isDefault: true,
  ...FAMILY_PROFILES.sd15,
  schedulers: [],
  capabilities: [],
};
const MODELS: ModelCatalog = {
  list: () => [SHAPES],
  find: (id) => (id === 'shapes' ? SHAPES : null),
  default: () => SHAPES,
};

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
  let folder: string;
  let store: SqliteJobStore;
  let events: InProcessJobEvents;
  let requests: CancelRequests;
  let due: DueJobs;
  let leases: DeviceLeasePool;
  let dispatcher: Dispatcher;

  async function setUp(pool: ScriptedPool, permits = 4, existing?: string): Promise<void> {
    folder = existing ?? mkdtempSync(join(tmpdir(), 'safelight-dispatch-'));
    store = await SqliteJobStore.open({ path: join(folder, 'jobs.sqlite') });
    events = new InProcessJobEvents();
    requests = new CancelRequests();
    const clock = new SystemClock();
    const workers = new WorkersConfig({ permits });
    leases = new DeviceLeasePool(workers);
    const artifacts = new FilesystemArtifactStore(
      new StorageConfig({ dataDir: folder, artifactsDir: join(folder, 'artifacts') }),
    );
    const retry = new RetryConfig({ backoffBaseMs: 1, backoffCapMs: 1 });
    const runner = new AttemptRunner(store, artifacts, events, requests, MODELS, clock, retry, workers, LOG);
    dispatcher = new Dispatcher(store, events, pool, leases, MODELS, runner, clock, LOG);
    due = new DueJobs(store, events, clock, LOG);
    await dispatcher.start();
    due.start();
  }

  afterEach(async () => {
    await dispatcher.stop(0);
    await due.stop();
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function submit(request: Partial<GenerationRequest> = {}): Promise<string> {
    const job = newJob({ request, createdAt: Date.now() });
    const result = await store.insert([job], { maxWaiting: 1000 }, null);
    if (result.outcome !== 'inserted') throw new Error(result.outcome);
    events.publish(result.events);
    return job.id;
  }

  /** The job once `when` holds of it. */
  async function once(id: string, when: (job: Job) => boolean): Promise<Job> {
    let stop = () => undefined as void;
    try {
      return await new Promise<Job>((resolve, reject) => {
        const look = () => {
          void store.get(id).then((job) => (job !== null && when(job) ? resolve(job) : undefined), reject);
        };
        stop = events.onJob(id, look);
        look();
      });
    } finally {
      stop();
    }
  }
  const final = (id: string) => once(id, (job) => isFinal(job.state));
  const running = (id: string) => once(id, (job) => job.progress?.phase === 'denoise');

  it('runs what is queued and records what was really run', async () => {
    await setUp(new ScriptedPool([new ScriptedWorker('a', failing(0, 'internal'))]));
    const job = await final(await submit());
    expect(job).toMatchObject({
      state: 'succeeded',
      effective: { dtype: 'float32' },
      attempts: [{ worker: 'a', outcome: 'succeeded' }],
    });
  });

  it('claims nothing while no worker is ready, and begins when one is', async () => {
    const pool = new ScriptedPool([]);
    await setUp(pool);
    const id = await submit();
    expect((await store.get(id))?.state).toBe('queued');
    pool.become([new ScriptedWorker('a', failing(0, 'internal'))]);
    expect((await final(id)).state).toBe('succeeded');
  });

  it('asks the store once when there is nothing to do, and again only when something changes', async () => {
    const pool = new ScriptedPool([new ScriptedWorker('a', failing(0, 'internal'))]);
    await setUp(pool);
    const released = new Promise((resolve) => leases.onRelease(resolve));
    await final(await submit());
    await released;
    await dispatcher.idle();
    let asked = 0;
    const claim = store.claimNext.bind(store);
    store.claimNext = (...args) => ((asked += 1), claim(...args));
    // Ten turns of the store stand for time passing; a loop that polls would ask at each.
    for (let turn = 0; turn < 10; turn += 1) await store.countByState();
    expect(asked).toBe(0);
    await final(await submit());
    expect(asked).toBeGreaterThan(0);
  });

  it('tries a suspended attempt again, unharmed, and takes a checkpoint for no progress', async () => {
    const checkpoint = { fileName: 'mark', step: 3, bytes: 9 };
    let suspensions = 0;
    const script: Script = async function* () {
      yield { type: 'accepted' };
      yield { type: 'phase', phase: 'denoise' };
      yield { type: 'checkpoint', checkpoint };
      await Promise.resolve();
      yield suspensions++ === 0 ? { type: 'suspended', checkpoint } : DONE;
    };
    await setUp(new ScriptedPool([new ScriptedWorker('a', script)]));
    const job = await final(await submit());
    expect(job.attempts.map(({ outcome, step, failure: why }) => [outcome, step, why])).toEqual([
      ['returned', 0, null],
      ['succeeded', 0, null],
    ]);
    expect(countedAttempts(job.attempts)).toBe(1);
  });

  it('plans with the settings of the model and the pictures of the job', async () => {
    const worker = new ScriptedWorker('a', failing(0, 'internal'));
    await setUp(new ScriptedPool([worker]));
    const init_image = { sha256: 'abc', bytes: 9, media_type: 'image/webp', width: 8, height: 8 } as const;
    const id = await submit({ init_image, strength: 0.5, exact: true });
    await final(id);
    expect(worker.plans).toMatchObject([
      {
        exact: true,
        checkpointIntervalMs: 0,
        inputs: { initImage: join(folder, 'artifacts', id, 'inputs', 'abc.webp'), strength: 0.5 },
      },
    ]);
  });

  it('ends a job whose LoRA is no longer served, rather than draw without it', async () => {
    const worker = new ScriptedWorker('a', failing(0, 'internal'));
    await setUp(new ScriptedPool([worker]));
    const job = await final(await submit({ loras: [{ id: 'ink', weight: 1 }] }));
    expect(job).toMatchObject({ state: 'failed', failure: { kind: 'model_unavailable' } });
    expect(job.failure?.message).toContain('the LoRA ink of the model shapes');
    expect(worker.plans).toEqual([]);
  });

  it('ends a job whose model is no longer served, rather than let it wait for ever', async () => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-dispatch-'));
    store = await SqliteJobStore.open({ path: join(folder, 'jobs.sqlite') });
    const job = newJob({ request: { model: 'withdrawn' }, createdAt: Date.now() });
    await store.insert([job], { maxWaiting: 10 }, null);
    await store.close();
    await setUp(new ScriptedPool([new ScriptedWorker('a', failing(0, 'internal'))]), 4, folder);
    expect(await final(job.id)).toMatchObject({ state: 'failed', failure: { kind: 'model_unavailable' } });
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
    await setUp(new ScriptedPool([worker]), 2);
    const ids = await Promise.all(Array.from({ length: 12 }, () => submit()));
    const jobs = await Promise.all(ids.map(final));
    expect(jobs.every(({ state }) => state === 'succeeded')).toBe(true);
    expect(most).toBe(2);
    await dispatcher.stop(1000);
    expect(leases.free('a:0')).toBe(2);
  });

  it('takes the most urgent first, and the oldest inside a class', async () => {
    const gate = Promise.withResolvers<void>();
    const worker = new ScriptedWorker('a', waitsFor(gate.promise, DONE));
    await setUp(new ScriptedPool([worker]), 1);
    const first = await submit();
    await running(first);
    const ids = [
      await submit({ priority: 'low' }),
      await submit(),
      await submit(),
      await submit({ priority: 'urgent' }),
    ];
    gate.resolve();
    await Promise.all(ids.map(final));
    const [low, older, newer, urgent] = ids;
    expect(worker.plans.map(({ attemptId }) => attemptId.split('/')[0])).toEqual([first, urgent, older, newer, low]);
  });

  it('spreads over devices', async () => {
    const gate = Promise.withResolvers<void>();
    const workers = ['a', 'b'].map((id) => new ScriptedWorker(id, waitsFor(gate.promise, DONE)));
    await setUp(new ScriptedPool(workers), 4);
    const ids = [await submit(), await submit(), await submit(), await submit()];
    await Promise.all(ids.map(running));
    expect(workers.map(({ plans }) => plans.length)).toEqual([2, 2]);
    gate.resolve();
    await Promise.all(ids.map(final));
  });

  it('tries again after a failure that may pass, and keeps every attempt on record', async () => {
    await setUp(new ScriptedPool([new ScriptedWorker('a', failing(2, 'worker_lost'))]));
    const job = await final(await submit());
    expect(job.state).toBe('succeeded');
    expect(job.attempts.map(({ outcome }) => outcome)).toEqual(['failed', 'failed', 'succeeded']);
  });

  it('gives up after the attempts a kind is worth, with the failure on record', async () => {
    await setUp(new ScriptedPool([new ScriptedWorker('a', failing(9, 'internal'))]));
    const job = await final(await submit());
    expect(job).toMatchObject({ state: 'failed', failure: { kind: 'internal', message: 'as told' } });
    expect(job.attempts).toHaveLength(3);
  });

  it('rejects what can never run at its first attempt', async () => {
    await setUp(new ScriptedPool([new ScriptedWorker('a', failing(9, 'invalid_request'))]));
    expect(await final(await submit())).toMatchObject({ state: 'failed', attempts: [{ number: 1 }] });
  });

  it('does not count attempts that a stopping worker gives back', async () => {
    await setUp(new ScriptedPool([new ScriptedWorker('a', failing(7, 'worker_stopping'))]));
    const job = await final(await submit());
    expect(job.state).toBe('succeeded');
    expect(job.attempts.filter(({ outcome }) => outcome === 'returned')).toHaveLength(7);
  });

  it('stops a running job that is cancelled', async () => {
    const worker = new ScriptedWorker('a', waitsFor(Promise.withResolvers<void>().promise, DONE));
    await setUp(new ScriptedPool([worker]));
    const id = await submit();
    await running(id);
    const cancelled = await new CancelJob(store, events, requests, new SystemClock()).cancel(id);
    expect(cancelled?.changed).toBe(true);
    expect(await final(id)).toMatchObject({ state: 'cancelled', attempts: [{ outcome: 'cancelled' }] });
    await dispatcher.stop(1000);
    expect(leases.free('a:0')).toBe(4);
  });

  it('expires a running job at its deadline', async () => {
    const worker = new ScriptedWorker('a', waitsFor(Promise.withResolvers<void>().promise, DONE));
    await setUp(new ScriptedPool([worker]));
    const job = await final(await submit({ finish_by: Date.now() + 300 }));
    expect(job).toMatchObject({ state: 'expired', failure: { kind: 'deadline_exceeded' } });
  });

  it('gives running jobs back unharmed when it stops, and claims nothing more', async () => {
    const worker = new ScriptedWorker('a', waitsFor(Promise.withResolvers<void>().promise, DONE));
    await setUp(new ScriptedPool([worker]), 1);
    const [first, second] = [await submit(), await submit()];
    await running(first);
    await dispatcher.stop(0);
    expect(await store.get(first)).toMatchObject({ state: 'queued', attempts: [{ outcome: 'returned' }] });
    expect(await store.get(second)).toMatchObject({ state: 'queued', attempts: [] });
  });

  it('lets running jobs end within the drain limit', async () => {
    const gate = Promise.withResolvers<void>();
    await setUp(new ScriptedPool([new ScriptedWorker('a', waitsFor(gate.promise, DONE))]));
    const id = await submit();
    await running(id);
    const stopped = dispatcher.stop(60_000);
    gate.resolve();
    await stopped;
    expect((await store.get(id))?.state).toBe('succeeded');
  });

  it('turns previews on for a running job when somebody begins to watch, and off when nobody does', async () => {
    const gate = Promise.withResolvers<void>();
    const worker = new ScriptedWorker('a', waitsFor(gate.promise, DONE));
    await setUp(new ScriptedPool([worker]));
    const id = await submit();
    await running(id);
    const leave = events.onPreview(id, () => undefined);
    leave();
    expect(worker.previews).toEqual([
      [`${id}/1`, 500],
      [`${id}/1`, 0],
    ]);
    gate.resolve();
    await final(id);
  });

  it('goes on with an attempt whose progress cannot be stored, and stores its end once the disk has room', async () => {
    await setUp(new ScriptedPool([new ScriptedWorker('a', failing(0, 'internal'))]));
    const full = () => Promise.reject(new StoreUnavailableError('the disk is full'));
    store.recordProgressIfClaimed = full;
    const complete = store.completeIfClaimed.bind(store);
    let refused = 0;
    store.completeIfClaimed = (...args) => ((refused += 1) < 3 ? full() : complete(...args));
    const job = await final(await submit());
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
    expect(await final(await submit())).toMatchObject({
      state: 'failed',
      failure: { kind: 'internal' },
      artifacts: [],
    });
  });
});
