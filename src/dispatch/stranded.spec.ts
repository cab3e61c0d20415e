import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import { modelDescription } from '../../test/support/api.js';
import { SHAPES, DONE } from '../../test/support/dispatch.js';
import { attemptRecord, claimer, newJob, NOON } from '../../test/support/jobs.js';
import { ScriptedPool, ScriptedWorker, waitsFor } from '../../test/support/scripted-worker.js';
import { DatabaseConfig } from '../config/database.config.js';
import { failure } from '../domain/failure/failure.js';
import { Clock } from '../jobs/ports/clock.port.js';
import type { NewJob } from '../jobs/ports/job-store.port.js';
import type { Stores } from '../persistence/open-stores.js';
import { openStores } from '../persistence/open-stores.js';
import { OtherWorkers } from './other-workers.js';
import { Stranded } from './stranded.js';

const MINUTE = 60_000;
const TOO_SMALL = failure('device_out_of_memory', 'no room', { phase: 'denoise' });

class MovableClock extends Clock {
  at = NOON;

  now(): number {
    return this.at;
  }
}

describe('Stranded', () => {
  const models = [SHAPES, modelDescription({ id: 'large', isDefault: false })];
  const clock = new MovableClock();
  let folder: string;
  let stores: Stores;
  let stranded: Stranded;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-stranded-'));
    clock.at = NOON;
    const database = new DatabaseConfig({ url: null });
    stores = await openStores({ database, dataDir: folder, log: pino({ level: 'silent' }) });
    const pool = new ScriptedPool(['a', 'b'].map((id) => new ScriptedWorker(id, waitsFor(Promise.resolve(), DONE))));
    const others = new OtherWorkers(pool, stores.nodes, stores.jobs, { id: 'here', name: 'here' }, clock);
    const catalog = {
      list: () => models,
      find: (id: string) => models.find((model) => model.id === id) ?? null,
      default: () => SHAPES,
    };
    stranded = new Stranded(stores.jobs, catalog, others, clock);
  });
  afterEach(async () => {
    await stores.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function submit(changes: Parameters<typeof newJob>[0] = {}, copies = 1): Promise<string> {
    const jobs: NewJob[] = Array.from({ length: copies }, () => newJob(changes));
    expect((await stores.jobs.insert(jobs, { maxWaiting: 1000 }, null)).outcome).toBe('inserted');
    return jobs[0]!.id;
  }
  const claimAs = (worker: string, model = 'shapes') =>
    stores.jobs.claimNext([{ model, bonusMs: 0, maxPixels: null }], claimer({ worker }), clock.now());
  /** Submits a job and has it moved on from these, `here/a` among them, as jobs before it were. */
  async function movedOn(avoids: readonly string[], changes: Parameters<typeof newJob>[0] = {}): Promise<string> {
    const id = await submit(changes);
    const claimed = await claimAs('here/a', changes?.request?.model);
    expect(claimed?.job.id).toBe(id);
    const record = attemptRecord({ outcome: 'failed', failure: TOO_SMALL, finishedAt: clock.now() });
    const next = { runAt: null, failure: TOO_SMALL, degradations: [], solo: false, avoids, keepCheckpoint: true };
    expect((await stores.jobs.retryIfClaimed(claimed!.claim, record, next, clock.now())).recorded).toBe(true);
    return id;
  }

  it('finds a job that avoids all workers there are, and none that avoids some of them', async () => {
    await movedOn(['here/a'], { request: { model: 'large' } });
    expect(await stranded.findModel()).toBeNull();
    await movedOn(['here/a', 'here/b']);
    stranded.lookAgain();
    expect(await stranded.findModel()).toBe('shapes');
  });

  it('finds it however many jobs of other models came after it', async () => {
    const id = await movedOn(['here/a', 'here/b']);
    await submit({ request: { model: 'large' } }, 101);
    await submit({ request: { model: 'not served' } }, 101);
    expect(await stranded.findModel()).toBe('shapes');
    expect((await claimAs(''))?.job.id).toBe(id);
  });

  it('leaves it while another would be claimed in its place, which waits for a worker', async () => {
    const waits = await movedOn(['here/a'], { createdAt: NOON - MINUTE });
    const id = await movedOn(['here/a', 'here/b']);
    expect(await stranded.findModel()).toBeNull();
    expect((await claimAs('here/b'))?.job.id).toBe(waits);
    stranded.lookAgain();
    expect(await stranded.findModel()).toBe('shapes');
    expect((await claimAs(''))?.job.id).toBe(id);
  });

  it('leaves it while it may be another client that is served', async () => {
    await movedOn(['here/a', 'here/b'], { client: 'x', createdAt: NOON - MINUTE });
    const waits = await movedOn(['here/a'], { client: 'y' });
    expect(await stranded.findModel()).toBeNull();
    expect((await claimAs('here/b'))?.job.id).toBe(waits);
    stranded.lookAgain();
    expect(await stranded.findModel()).toBe('shapes');
  });

  it('does not let a job wait for ever for a worker that is there', async () => {
    await movedOn(['here/a']);
    clock.at += MINUTE - 1;
    expect(await stranded.findModel()).toBeNull();
    clock.at += 1;
    stranded.lookAgain();
    expect(await stranded.findModel()).toBe('shapes');
  });

  it('looks seldom while the workers stay the same and nothing is found', async () => {
    await movedOn(['here/a']);
    clock.at += MINUTE - 1;
    expect(await stranded.findModel()).toBeNull();
    clock.at += 1;
    expect(await stranded.findModel()).toBeNull();
    clock.at += 10_000;
    expect(await stranded.findModel()).toBe('shapes');
  });
});
