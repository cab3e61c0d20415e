import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { OPERATOR } from '../../domain/access/caller.js';
import { attemptRecord, claimer, newJob, NOON } from '../../../test/support/jobs.js';
import { InProcessJobEvents } from '../../events/in-process-job-events.js';
import { SqliteJobStore } from '../../persistence/sqlite/sqlite-job-store.js';
import type { ClaimedJob } from '../ports/job-store.port.js';
import { CancelJob } from './cancel-job.js';
import { CancelRequests } from './cancel-requests.js';

describe('CancelJob', () => {
  let folder: string;
  let store: SqliteJobStore;
  let events: InProcessJobEvents;
  let requests: CancelRequests;
  let cancelJob: CancelJob;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-cancel-'));
    store = await SqliteJobStore.open({ path: join(folder, 'jobs.sqlite') });
    events = new InProcessJobEvents();
    requests = new CancelRequests(events);
    cancelJob = new CancelJob(store, events, { now: () => NOON });
  });

  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function queued(): Promise<string> {
    const job = newJob();
    await store.insert([job], { maxWaiting: 10 }, null);
    return job.id;
  }

  async function running(): Promise<ClaimedJob> {
    await queued();
    const claimed = await store.claimNext([{ model: 'shapes', bonusMs: 0, maxPixels: null }], claimer(), NOON);
    if (claimed === null) throw new Error('nothing to claim');
    return claimed;
  }

  it('ends a waiting job at once and bothers nobody', async () => {
    const id = await queued();
    const wishes: string[] = [];
    events.onCancel((jobId) => wishes.push(jobId));
    expect(await cancelJob.cancel(id, OPERATOR)).toMatchObject({ job: { state: 'cancelled' }, changed: true });
    expect(wishes).toEqual([]);
  });

  it('tells who runs the job, and nobody else, and notes the wish in the row', async () => {
    const { job } = await running();
    const stopped: string[] = [];
    requests.onRequest(job.id, () => stopped.push(job.id));
    requests.onRequest('another', () => stopped.push('another'));
    expect(await cancelJob.cancel(job.id, OPERATOR)).toMatchObject({ job: { state: 'running' }, changed: true });
    expect(stopped).toEqual([job.id]);
    expect((await store.get(job.id))?.cancelRequestedAt).toBe(NOON);
  });

  it('hears a wish from another node', async () => {
    const stopped: string[] = [];
    requests.onRequest('a', () => stopped.push('a'));
    events.publishCancel('a');
    expect(stopped).toEqual(['a']);
  });

  it('does not stop an attempt that has ended meanwhile', async () => {
    const { job } = await running();
    const forget = requests.onRequest(job.id, () => {
      throw new Error('it has ended');
    });
    forget();
    await cancelJob.cancel(job.id, OPERATOR);
    expect((await store.get(job.id))?.cancelRequestedAt).toBe(NOON);
  });

  it('does not claim to stop a job that succeeds as it is told again', async () => {
    const { claim, job } = await running();
    await cancelJob.cancel(job.id, OPERATOR);
    const before = await store.get(job.id);
    await store.completeIfClaimed(claim, attemptRecord(), { artifacts: [], effective: {} }, NOON);
    store.get = () => Promise.resolve(before);
    expect(await cancelJob.cancel(job.id, OPERATOR)).toMatchObject({ job: { state: 'succeeded' }, changed: false });
  });

  it('leaves a job that is final, and knows of none that is not there', async () => {
    const { claim, job } = await running();
    await store.completeIfClaimed(claim, attemptRecord(), { artifacts: [], effective: {} }, NOON);
    const wishes: string[] = [];
    events.onCancel((jobId) => wishes.push(jobId));
    expect(await cancelJob.cancel(job.id, OPERATOR)).toMatchObject({ job: { state: 'succeeded' }, changed: false });
    expect(await cancelJob.cancel('0199c1d2-7a3b-7c4d-8e5f-60718293a4b5', OPERATOR)).toBeNull();
    expect(wishes).toEqual([]);
  });
});
