import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import { attemptRecord, claimer, newJob, NOON } from '../../../test/support/jobs.js';
import { eventually } from '../../../test/support/signals.js';
import { FilesystemArtifactStore } from '../../artifacts/filesystem-artifact-store.js';
import { NodeConfig } from '../../config/node.config.js';
import { RetentionConfig } from '../../config/retention.config.js';
import { StorageConfig } from '../../config/storage.config.js';
import { failure } from '../../domain/failure/failure.js';
import { InProcessJobEvents } from '../../events/in-process-job-events.js';
import { ArtifactStoreUnavailableError } from '../../jobs/ports/artifact-store.port.js';
import type { ClaimedJob } from '../../jobs/ports/job-store.port.js';
import { SqliteJobStore } from '../../persistence/sqlite/sqlite-job-store.js';
import { SystemClock } from '../../system-clock.js';
import { Pruner } from './pruner.js';

const LOST = failure('worker_lost', 'the server ended');

describe('Pruner', () => {
  let folder: string;
  let store: SqliteJobStore;
  let artifacts: FilesystemArtifactStore;
  let events: InProcessJobEvents;
  let pruner: Pruner;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-pruner-'));
    store = await SqliteJobStore.open({ path: join(folder, 'jobs.sqlite') });
    const storage = new StorageConfig({ dataDir: folder, artifactsDir: join(folder, 'artifacts') });
    artifacts = new FilesystemArtifactStore(storage, new NodeConfig({ name: 'gpu1' }));
    events = new InProcessJobEvents();
    const log = pino({ level: 'silent' });
    pruner = new Pruner(store, artifacts, events, new SystemClock(), new RetentionConfig({ jobsMs: 0 }), log);
  });
  afterEach(async () => {
    await pruner.stop();
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function claimed(model: string): Promise<ClaimedJob> {
    const found = await store.claimNext([{ model, bonusMs: 0, maxPixels: null }], claimer(), NOON);
    if (found === null) throw new Error('a job waits');
    return found;
  }

  /** A job that ran and is in the queue again, with a checkpoint to go on from; and what its attempt left besides. */
  async function interrupted(model = 'shapes'): Promise<string> {
    const job = newJob({ request: { model } });
    await store.insert([job], { maxWaiting: 10 }, null);
    const { claim } = await claimed(model);
    const attempt = { jobId: job.id, token: claim.token };
    const staging = await artifacts.openStaging(attempt);
    for (const name of ['4', '8']) writeFileSync(join(staging, name), 'not really a checkpoint');
    // The first one is left over: its record was not known to be written.
    await artifacts.keepCheckpoint(attempt, '4');
    const key = await artifacts.keepCheckpoint(attempt, '8');
    await store.recordCheckpointIfClaimed(claim, { key, step: 8, bytes: 23, attempt: claim.attempt });
    events.publish((await store.returnIfClaimed(claim, attemptRecord({ outcome: 'returned' }), NOON)).events);
    return job.id;
  }

  async function keysOf(jobId: string): Promise<string[]> {
    const found: string[] = [];
    for await (const { key } of artifacts.keys(jobId)) found.push(key);
    return found;
  }

  const cleared = (jobId: string) =>
    eventually('the checkpoints are gone', async () => ((await keysOf(jobId)).length === 0 ? true : null));

  const cancel = async (jobId: string) => events.publish((await store.requestCancel(jobId, NOON)).events);

  it('removes all checkpoints of a job that is cancelled while it waits to go on, and none of another', async () => {
    const [ended, waiting] = [await interrupted('shapes'), await interrupted('other')];
    await cancel(ended);
    await cleared(ended);
    expect(await keysOf(waiting)).toHaveLength(2);
  });

  it('removes those of a job that fails with the server it ran on', async () => {
    const jobId = await interrupted();
    await claimed('shapes');
    // Before the first sweep: a server reclaims what a former life left before it starts anything.
    events.publish(await store.reclaim({ kind: 'all' }, LOST, 1, NOON));
    expect((await store.get(jobId))?.state).toBe('failed');
    await cleared(jobId);
  });

  it('removes what an attempt left whose server was killed, when the next one succeeds', async () => {
    const jobId = await interrupted();
    const { claim } = await claimed('shapes');
    const record = attemptRecord({ outcome: 'succeeded' });
    const result = { artifacts: [], effective: { dtype: 'float32' } };
    events.publish((await store.completeIfClaimed(claim, record, result, NOON)).events);
    await cleared(jobId);
  });

  it('leaves a job alone that another node ended: that one removes them', async () => {
    const [elsewhere, here] = [await interrupted('shapes'), await interrupted('other')];
    events.publish((await store.requestCancel(elsewhere, NOON)).events, 'elsewhere');
    await cancel(here);
    await cleared(here);
    expect(await keysOf(elsewhere)).toHaveLength(2);
  });

  it('goes on when those of one job cannot be removed', async () => {
    const [stuck, next] = [await interrupted('shapes'), await interrupted('other')];
    const drop = artifacts.dropCheckpoints.bind(artifacts);
    artifacts.dropCheckpoints = (jobId) =>
      jobId === stuck ? Promise.reject(new ArtifactStoreUnavailableError('no answer')) : drop(jobId);
    await cancel(stuck);
    await cancel(next);
    await cleared(next);
    expect(await keysOf(stuck)).toHaveLength(2);
  });
});
