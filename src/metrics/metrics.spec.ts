import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import { modelDescription, workerDescription } from '../../test/support/api.js';
import { artifact, attemptRecord, claimer, newJob, NOON } from '../../test/support/jobs.js';
import { eventually } from '../../test/support/signals.js';
import { DatabaseConfig } from '../config/database.config.js';
import { failure } from '../domain/failure/failure.js';
import type { JobEvent } from '../domain/job/job-event.js';
import type { WorkerDescription } from '../domain/placement/worker-description.js';
import { InProcessJobEvents } from '../events/in-process-job-events.js';
import type { Drains } from '../jobs/ports/drains.port.js';
import type { ClaimedJob, JobStore } from '../jobs/ports/job-store.port.js';
import type { ModelCatalog } from '../jobs/ports/model-catalog.port.js';
import type { Stores } from '../persistence/open-stores.js';
import { openStores } from '../persistence/open-stores.js';
import { Occurrences } from '../telemetry/occurrences.js';
import { METRICS } from './metric-table.js';
import { Metrics } from './metrics.js';

const OUT_OF_MEMORY = failure('device_out_of_memory', 'no room');

describe('Metrics', () => {
  let folder: string;
  let stores: Stores;
  let store: JobStore;
  let events: InProcessJobEvents;
  let metrics: Metrics;
  let occurrences: Occurrences;
  let workers: WorkerDescription[];
  let stop: () => void;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-metrics-'));
    const log = pino({ level: 'silent' });
    stores = await openStores({ database: new DatabaseConfig(), dataDir: folder, log });
    store = stores.jobs;
    events = new InProcessJobEvents();
    occurrences = new Occurrences();
    workers = [];
    const drains = { nodeState: () => 'serving' } as Drains;
    const models = { list: () => [modelDescription()] } as unknown as ModelCatalog;
    const clock = { now: () => NOON + 90_000 };
    const inventory = { list: () => workers };
    metrics = new Metrics(events, store, stores.deliveries, inventory, drains, models, occurrences, clock);
    stop = metrics.start();
  });

  afterEach(async () => {
    stop();
    await stores.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function claimed(): Promise<ClaimedJob> {
    const found = await store.claimNext([{ model: 'shapes', bonusMs: 0, maxPixels: null }], claimer(), NOON);
    if (found === null) throw new Error('nothing to claim');
    return found;
  }

  /** A job that fails once for want of memory, is given back once, and then succeeds; returns its last events. */
  async function atLastSucceeded(): Promise<readonly JobEvent[]> {
    await store.insert([newJob()], { maxWaiting: 10 }, null);
    await store.retryIfClaimed(
      (await claimed()).claim,
      attemptRecord({ outcome: 'failed', failure: OUT_OF_MEMORY }),
      { runAt: null, failure: OUT_OF_MEMORY, degradations: [], solo: false, avoids: [], keepCheckpoint: false },
      NOON,
    );
    await store.returnIfClaimed((await claimed()).claim, attemptRecord({ outcome: 'returned' }), NOON);
    const { claim } = await claimed();
    return (await store.completeIfClaimed(claim, attemptRecord(), { artifacts: [], effective: {} }, NOON)).events;
  }

  const shown = async (line: string) => {
    const { body } = await metrics.render();
    return body.split('\n').includes(line) || null;
  };

  it('counts how a job ended, with each failed attempt that another followed as a retry', async () => {
    events.publish(await atLastSucceeded());
    await eventually('the job is counted', () => shown('safelight_jobs_finished_total{state="succeeded"} 1'));
    const { body } = await metrics.render();
    expect(body).toContain('safelight_retries_total{failure_kind="device_out_of_memory"} 1');
    expect(body.match(/^safelight_retries_total\{/gm)).toHaveLength(1);
    expect(body).toContain('safelight_attempts_total{outcome="returned",failure_kind=""} 1');
  });

  it('counts no retry for a job whose only attempt failed', async () => {
    await store.insert([newJob()], { maxWaiting: 10 }, null);
    const record = attemptRecord({ outcome: 'failed', failure: OUT_OF_MEMORY });
    const end = { state: 'failed', failure: OUT_OF_MEMORY } as const;
    events.publish((await store.endIfClaimed((await claimed()).claim, record, end, NOON)).events);
    await eventually('the job is counted', () => shown('safelight_jobs_finished_total{state="failed"} 1'));
    expect((await metrics.render()).body).not.toMatch(/^safelight_retries_total\{/m);
  });

  it('counts rungs as they are taken', async () => {
    const body = { type: 'degradation', rung: 'vae_tiling', fidelity: 'equivalent', cause: 'predicted' } as const;
    events.publish([{ jobId: 'a', seq: 3, at: NOON, body }]);
    expect(await shown('safelight_degradations_total{rung="vae_tiling",fidelity="equivalent"} 1')).toBe(true);
  });

  it('leaves to other nodes what they published', async () => {
    const body = { type: 'degradation', rung: 'vae_tiling', fidelity: 'equivalent', cause: 'predicted' } as const;
    events.publish([{ jobId: 'a', seq: 3, at: NOON, body }, ...(await atLastSucceeded())], 'elsewhere');
    // One of its own behind it: when that is counted, the others would be.
    events.publish(await atLastSucceeded());
    await eventually('the job is counted', () => shown('safelight_jobs_finished_total{state="succeeded"} 1'));
    expect((await metrics.render()).body).not.toMatch(/^safelight_degradations_total\{/m);
  });

  it('has every metric of the table, and no other', () => {
    expect(metrics.names().toSorted()).toEqual(Object.keys(METRICS).toSorted());
  });

  it('tells what waits by state and class, and since when', async () => {
    await store.insert(
      [newJob({ request: { priority: 'low' } }), newJob({ request: { priority: 'high' }, runAt: NOON + 100_000 })],
      { maxWaiting: 10 },
      null,
    );
    const { body } = await metrics.render();
    expect(body).toContain('safelight_queue_jobs{state="queued",priority="low"} 1');
    expect(body).toContain('safelight_queue_jobs{state="scheduled",priority="high"} 1');
    expect(body).toContain('safelight_queue_jobs{state="queued",priority="urgent"} 0');
    expect(body).toContain('safelight_queue_oldest_seconds{priority="low"} 90');
    expect(body).toContain('safelight_queue_oldest_seconds{priority="high"} 0');
  });

  it('tells of a job that took an hour and a rung where its time, memory and steps went', async () => {
    const job = newJob({ request: { time_budget_ms: 1_000 } });
    await store.insert([job], { maxWaiting: 10 }, null);
    const { claim } = await claimed();
    const result = { artifacts: [artifact(0), artifact(1)], effective: {} };
    const record = attemptRecord({ resumedFromStep: 4 });
    events.publish((await store.completeIfClaimed(claim, record, result, NOON + 2_000)).events);
    await eventually('the job is counted', () => shown('safelight_time_budgets_total{within="false"} 1'));
    const { body } = await metrics.render();
    for (const line of [
      'safelight_images_total{model="shapes"} 2',
      'safelight_steps_total{model="shapes"} 20',
      'safelight_resumes_total 1',
      'safelight_job_seconds_sum{model="shapes",priority="normal"} 2',
      'safelight_job_wait_seconds_count{priority="normal"} 1',
      'safelight_phase_seconds_sum{phase="denoise",model="shapes"} 1.4',
      'safelight_attempt_peak_memory_bytes_bucket{le="6442450944",model="shapes"} 1',
      'safelight_attempt_peak_memory_bytes_bucket{le="4294967296",model="shapes"} 0',
      'safelight_time_budgets_total{within="true"} 0',
    ])
      expect(body.split('\n')).toContain(line);
  });

  it('tells how workers and the node stand now', async () => {
    workers = [workerDescription({ running: 3, restarts: 2, state: 'busy' })];
    const { body } = await metrics.render();
    for (const line of [
      'safelight_attempts_in_flight{worker="cpu:0#1",device="cpu:0"} 3',
      'safelight_worker_restarts_total{worker="cpu:0#1"} 2',
      'safelight_workers{state="busy"} 1',
      'safelight_workers{state="ready"} 0',
      'safelight_model_loaded{model="shapes",device="cpu:0"} 1',
      'safelight_device_memory_bytes{device="cpu:0",kind="free"} 5000',
      'safelight_node_state{state="serving"} 1',
      'safelight_node_state{state="drained"} 0',
    ])
      expect(body.split('\n')).toContain(line);
    // Told anew at every look: nothing adds up.
    expect((await metrics.render()).body).toContain('safelight_worker_restarts_total{worker="cpu:0#1"} 2');
  });

  it('counts checkpoints and webhook messages', async () => {
    occurrences.note({ type: 'checkpoint', outcome: 'kept', bytes: 700 });
    occurrences.note({ type: 'checkpoint', outcome: 'lost', bytes: 900 });
    occurrences.note({ type: 'webhook', outcome: 'given_up', ms: 1_500 });
    const { body } = await metrics.render();
    for (const line of [
      'safelight_checkpoints_total{outcome="kept"} 1',
      'safelight_checkpoints_total{outcome="lost"} 1',
      'safelight_checkpoint_bytes_total 700',
      'safelight_webhook_tries_total{outcome="given_up"} 1',
      'safelight_webhook_tries_total{outcome="delivered"} 0',
      'safelight_webhook_seconds_sum 1.5',
    ])
      expect(body.split('\n')).toContain(line);
  });

  it('says which build runs on which database', async () => {
    const line = (await metrics.render()).body.split('\n').find((one) => one.startsWith('safelight_build_info{'));
    expect(line).toMatch(/version="\d+\.\d+\.\d+".*database="sqlite",database_version="3\.\d+.*"} 1$/);
  });

  it('leaves out what the database would have to tell while it is away, and tells the rest', async () => {
    await stores.close();
    const { body } = await metrics.render();
    expect(body).not.toMatch(/^safelight_(jobs|queue_jobs|webhooks_pending|build_info)[ {]/m);
    expect(body).toMatch(/^safelight_workers\{/m);
  });
});
