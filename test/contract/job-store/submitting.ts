import type { JobEvent } from '../../../src/domain/job/job-event.js';
import type { Job } from '../../../src/domain/job/job.js';
import { newJob, NOON } from '../../support/jobs.js';
import type { StoreHarness } from './harness.js';
import { MINUTE, ROOMY, CLAIMER, warm } from './harness.js';

export function describeSubmitting(harness: StoreHarness): void {
  const { submit, submitOne, claim, claimOrder, mustGet, storedEvents, complete, inState } = harness;

  describe('insert', () => {
    it('stores a job as it was submitted and tells its first event', async () => {
      const submitted = newJob({
        request: { prompt: 'ein „Fuchs“ 🦊\u0000', metadata: { album: "Robert'); DROP TABLE job;--" } },
      });

      const result = await harness.store.insert([submitted], ROOMY, null);

      const job: Job = {
        id: submitted.id,
        state: 'queued',
        request: submitted.request,
        createdAt: NOON,
        startedAt: null,
        finishedAt: null,
        runAt: null,
        cancelRequestedAt: null,
        client: '',
        node: null,
        degradations: [],
        solo: false,
        avoids: [],
        checkpoint: null,
        progress: null,
        attempts: [],
        artifacts: [],
        effective: null,
        failure: null,
        trace: null,
      };
      const event: JobEvent = {
        jobId: job.id,
        seq: 1,
        at: NOON,
        body: { type: 'state', state: 'queued', attempt: 0 },
      };
      expect(result).toEqual({ outcome: 'inserted', jobs: [job], events: [event] });
      expect(await harness.store.get(job.id)).toEqual(job);
      expect(await harness.store.eventsAfter(job.id, 0)).toEqual([event]);
    });

    it('keeps the trace of the request with the job', async () => {
      const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
      const { id } = await submitOne({ trace });

      expect((await mustGet(id)).trace).toBe(trace);
      expect((await claim()).job.trace).toBe(trace);
    });

    it('schedules a job that may not begin yet', async () => {
      const job = await submitOne({ runAt: NOON + MINUTE });

      expect(await harness.store.get(job.id)).toMatchObject({ state: 'scheduled', runAt: NOON + MINUTE });
      expect(await storedEvents(job.id)).toEqual(['state scheduled 0']);
    });

    it('inserts a batch in the order given', async () => {
      const batch = [newJob(), newJob(), newJob()];

      const jobs = await submit(...batch);

      expect(jobs.map(({ id }) => id)).toEqual(batch.map(({ id }) => id));
      expect(await claimOrder()).toEqual(batch.map(({ id }) => id));
    });

    it('inserts nothing of a batch when one of its jobs cannot be stored', async () => {
      const taken = await submitOne();
      const fresh = newJob();

      await expect(harness.store.insert([fresh, newJob({ id: taken.id })], ROOMY, null)).rejects.toThrow();

      expect(await harness.store.get(fresh.id)).toBeNull();
      expect(await harness.store.eventsAfter(fresh.id, 0)).toEqual([]);
      expect((await harness.store.countByState()).queued).toBe(1);
    });
  });

  describe('the bound on waiting jobs', () => {
    it('counts scheduled and queued jobs, and not those that run or have ended', async () => {
      await inState.running();
      await inState.succeeded();
      await inState.scheduled();
      await inState.queued();

      expect(await harness.store.insert([newJob()], { maxWaiting: 3 }, null)).toMatchObject({ outcome: 'inserted' });
      expect(await harness.store.insert([newJob()], { maxWaiting: 3 }, null)).toEqual({
        outcome: 'queue_full',
        waiting: 3,
      });
    });

    it('accepts a batch that just fits and refuses whole one that does not', async () => {
      const tooMany = [newJob(), newJob(), newJob()];

      expect(await harness.store.insert(tooMany, { maxWaiting: 2 }, null)).toEqual({
        outcome: 'queue_full',
        waiting: 0,
      });
      expect(await harness.store.get(tooMany[0]!.id)).toBeNull();
      expect(await harness.store.insert(tooMany, { maxWaiting: 3 }, null)).toMatchObject({ outcome: 'inserted' });
    });

    it('holds when many submit at once', async () => {
      const results = await Promise.all(
        Array.from({ length: 60 }, () => harness.store.insert([newJob(), newJob()], { maxWaiting: 41 }, null)),
      );

      const inserted = results.filter(({ outcome }) => outcome === 'inserted').length;
      // Where several write at once, those that are under way do not see each other: eight connections, two jobs each.
      expect(inserted).toBeGreaterThanOrEqual(20);
      expect(inserted).toBeLessThanOrEqual(harness.store.isShared ? 28 : 20);
      expect(results.filter(({ outcome }) => outcome === 'queue_full')).toHaveLength(60 - inserted);
      expect((await harness.store.countByState()).queued).toBe(2 * inserted);
    });

    it('makes room when a job is claimed', async () => {
      await submitOne();
      await claim();

      expect(await harness.store.insert([newJob()], { maxWaiting: 1 }, null)).toMatchObject({ outcome: 'inserted' });
    });
  });

  describe('waitingModels', () => {
    it('names each model that waiting jobs name once, and none that only others name', async () => {
      expect(await harness.store.waitingModels()).toEqual([]);
      for (const model of ['flux', 'flux', 'shapes']) await submitOne({ request: { model } });
      await submitOne({ request: { model: 'later' }, runAt: NOON + MINUTE });
      const held = await harness.store.claimNext(warm(['shapes'], 0), CLAIMER, NOON);
      expect(held?.job.request.model).toBe('shapes');
      expect((await harness.store.waitingModels()).toSorted()).toEqual(['flux', 'later']);
    });
  });

  describe('findSubmission', () => {
    it('finds what was submitted under a key, tells another body apart, and inserts nothing', async () => {
      const key = { client: '', key: 'once', requestHash: 'a'.repeat(64) };
      expect(await harness.store.findSubmission(key)).toBeNull();
      const jobs = [newJob(), newJob()];
      await harness.store.insert(jobs, ROOMY, key);
      const found = await harness.store.findSubmission(key);
      expect(found).toMatchObject({ outcome: 'existing', jobs: jobs.map(({ id }) => ({ id })) });
      const other = await harness.store.findSubmission({ ...key, requestHash: 'b'.repeat(64) });
      expect(other).toMatchObject({ outcome: 'conflict', jobId: jobs[0]!.id });
      expect((await harness.store.countByState()).queued).toBe(2);
    });
  });

  describe('idempotency', () => {
    const key = { client: '', key: 'order-17', requestHash: 'a'.repeat(64) };

    it('answers the same key and body with the jobs of that time, as they are now', async () => {
      const batch = [newJob(), newJob()];
      await harness.store.insert(batch, ROOMY, key);
      const held = await claim();
      await complete(held.claim);

      const again = await harness.store.insert([newJob(), newJob()], ROOMY, key);

      expect(again).toEqual({
        outcome: 'existing',
        jobs: [await mustGet(batch[0]!.id), await mustGet(batch[1]!.id)],
      });
      expect(again).toMatchObject({ jobs: [{ state: 'succeeded', attempts: [{ number: 1 }] }, { state: 'queued' }] });
      expect(await harness.store.list({ limit: 10 })).toHaveLength(2);
    });

    it('keeps the keys of clients apart, however they are spelled', async () => {
      await harness.store.insert([newJob()], ROOMY, { ...key, client: 'ada', key: 'order 17' });

      expect(await harness.store.findSubmission({ ...key, client: '', key: 'ada order 17' })).toBeNull();
      expect(await harness.store.findSubmission({ ...key, client: 'bob', key: 'order 17' })).toBeNull();
      expect(await harness.store.findSubmission({ ...key, client: 'ada', key: 'order 17' })).not.toBeNull();
    });

    it('refuses the same key with another body', async () => {
      const first = newJob();
      await harness.store.insert([first], ROOMY, key);

      expect(await harness.store.insert([newJob()], ROOMY, { ...key, requestHash: 'b'.repeat(64) })).toEqual({
        outcome: 'conflict',
        jobId: first.id,
      });
      expect(await harness.store.list({ limit: 10 })).toHaveLength(1);
    });

    it('still answers when the queue has become full', async () => {
      await harness.store.insert([newJob()], { maxWaiting: 1 }, key);

      expect(await harness.store.insert([newJob()], { maxWaiting: 1 }, key)).toMatchObject({ outcome: 'existing' });
    });

    it('forgets the key of a submission that was refused', async () => {
      await harness.store.insert([newJob()], { maxWaiting: 0 }, key);

      expect(await harness.store.insert([newJob()], ROOMY, key)).toMatchObject({ outcome: 'inserted' });
    });

    it('inserts once when the same submission arrives many times at once', async () => {
      const results = await Promise.all(Array.from({ length: 30 }, () => harness.store.insert([newJob()], ROOMY, key)));

      expect(results.filter(({ outcome }) => outcome === 'inserted')).toHaveLength(1);
      expect(results.filter(({ outcome }) => outcome === 'existing')).toHaveLength(29);
      expect(new Set(results.flatMap((result) => ('jobs' in result ? result.jobs.map(({ id }) => id) : []))).size).toBe(
        1,
      );
    });

    it('frees the key when its last job is purged', async () => {
      await harness.store.insert([newJob()], ROOMY, key);
      await complete((await claim()).claim);
      await harness.store.purge(NOON + MINUTE, 10);

      expect(await harness.store.insert([newJob()], ROOMY, key)).toMatchObject({ outcome: 'inserted' });
    });
  });
}
