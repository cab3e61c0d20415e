import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { modelDescription } from '../../../test/support/api.js';
import { QueueConfig } from '../../config/queue.config.js';
import { InProcessJobEvents } from '../../events/in-process-job-events.js';
import { SqliteJobStore } from '../../persistence/sqlite/sqlite-job-store.js';
import { SubmitJobs } from './submit-jobs.js';

describe('SubmitJobs', () => {
  let folder: string;
  let store: SqliteJobStore;
  let submitJobs: SubmitJobs;
  const clock = { at: Date.UTC(2026, 0, 1), now: () => clock.at };
  const shapes = modelDescription();
  const models = {
    list: () => [shapes],
    find: (id: string) => (id === shapes.id ? shapes : null),
    default: () => shapes,
  };
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-submit-'));
    store = await SqliteJobStore.open({ path: join(folder, 'jobs.sqlite') });
    submitJobs = new SubmitJobs(store, new InProcessJobEvents(), models, clock, new QueueConfig({ maxWaiting: 3 }));
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('gives the job of a key again, also when the request could not be accepted any more', async () => {
    const input = { prompt: 'a red circle', start_by: clock.at + 100 };
    const first = await submitJobs.submit([input], 'key');
    clock.at += 200;
    const second = await submitJobs.submit([input], 'key');
    expect([first.outcome, second.outcome]).toEqual(['accepted', 'existing']);
    if (first.outcome === 'accepted' && second.outcome === 'existing')
      expect(second.jobs[0]?.id).toBe(first.jobs[0]?.id);
    expect((await submitJobs.submit([input], 'another key')).outcome).toBe('invalid');
  });

  it('refuses what would not fit into the queue, whole, and says when to come back', async () => {
    const result = await submitJobs.submit(
      Array.from({ length: 4 }, () => ({ prompt: 'a red circle' })),
      null,
      true,
    );
    expect(result).toMatchObject({ outcome: 'queue_full', waiting: 0, limit: 3 });
    expect((await store.countByState()).queued).toBe(0);
  });

  it('takes nothing more once it is closed, but still knows what it took', async () => {
    const input = { prompt: 'a red circle' };
    await submitJobs.submit([input], 'key');
    submitJobs.close();
    expect((await submitJobs.submit([input], 'key')).outcome).toBe('existing');
    expect(await submitJobs.submit([input], null)).toEqual({ outcome: 'not_serving', retryAfterSeconds: 5 });
  });
});
