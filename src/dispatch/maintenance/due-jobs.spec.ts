import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import { newJob } from '../../../test/support/jobs.js';
import type { JobEvent } from '../../domain/job/job-event.js';
import type { JobState } from '../../domain/job/job-state.js';
import { InProcessJobEvents } from '../../events/in-process-job-events.js';
import type { NewJob } from '../../jobs/ports/job-store.port.js';
import { StoreUnavailableError } from '../../jobs/ports/job-store.port.js';
import { SqliteJobStore } from '../../persistence/sqlite/sqlite-job-store.js';
import { SystemClock } from '../../system-clock.js';
import { DueJobs } from './due-jobs.js';

describe('DueJobs', () => {
  let folder: string;
  let store: SqliteJobStore;
  let events: InProcessJobEvents;
  let due: DueJobs;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-due-'));
    store = await SqliteJobStore.open({ path: join(folder, 'jobs.sqlite') });
    events = new InProcessJobEvents();
    due = new DueJobs(store, events, new SystemClock(), pino({ level: 'silent' }));
  });
  afterEach(async () => {
    await due.stop();
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function submit(job: NewJob): Promise<string> {
    const result = await store.insert([job], { maxWaiting: 10 }, null);
    if (result.outcome !== 'inserted') throw new Error(result.outcome);
    events.publish(result.events);
    return job.id;
  }

  /** Resolves when it is told that a job came into a state. */
  function told(id: string, state: JobState): Promise<void> {
    return new Promise((resolve) => {
      const stop = events.onJob(id, ({ body }: JobEvent) => {
        if (body.type !== 'state' || body.state !== state) return;
        stop();
        resolve();
      });
    });
  }

  it('puts a job into the queue when its time has come', async () => {
    due.start();
    const job = { ...newJob({ createdAt: Date.now() }), runAt: Date.now() + 50 };
    const queued = told(job.id, 'queued');
    await submit(job);
    await queued;
    expect(Date.now()).toBeGreaterThanOrEqual(job.runAt);
    expect((await store.get(job.id))?.state).toBe('queued');
  });

  it('expires a job at its deadline, also one that comes while it asks the store what is next', async () => {
    const now = Date.now();
    const late = newJob({ request: { finish_by: now + 100 }, createdAt: now });
    const nextDueAt = store.nextDueAt.bind(store);
    let submitted = false;
    store.nextDueAt = async () => {
      const answer = await nextDueAt();
      if (!submitted) {
        submitted = true;
        await submit(late);
      }
      return answer;
    };
    const expired = told(late.id, 'expired');
    due.start();
    await expired;
    expect((await store.get(late.id))?.state).toBe('expired');
  });

  it('tells what it moved although the next statement fails', async () => {
    const job = { ...newJob({ createdAt: Date.now() }), runAt: Date.now() };
    await submit(job);
    store.expireDue = () => Promise.reject(new StoreUnavailableError('the disk is full'));
    const queued = told(job.id, 'queued');
    due.start();
    await queued;
  });
});
