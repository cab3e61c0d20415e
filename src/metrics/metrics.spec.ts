import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { attemptRecord, claimer, newJob, NOON } from '../../test/support/jobs.js';
import { eventually } from '../../test/support/signals.js';
import { failure } from '../domain/failure/failure.js';
import type { JobEvent } from '../domain/job/job-event.js';
import { InProcessJobEvents } from '../events/in-process-job-events.js';
import type { ClaimedJob } from '../jobs/ports/job-store.port.js';
import { SqliteJobStore } from '../persistence/sqlite/sqlite-job-store.js';
import { Metrics } from './metrics.js';

const OUT_OF_MEMORY = failure('device_out_of_memory', 'no room');

describe('Metrics', () => {
  let folder: string;
  let store: SqliteJobStore;
  let events: InProcessJobEvents;
  let metrics: Metrics;
  let stop: () => void;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-metrics-'));
    store = await SqliteJobStore.open({ path: join(folder, 'jobs.sqlite') });
    events = new InProcessJobEvents();
    metrics = new Metrics(events, store, { list: () => [] });
    stop = metrics.start();
  });

  afterEach(async () => {
    stop();
    await store.close();
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
});
