import type { JobState } from '../../../src/domain/job/job-state.js';
import { JOB_STATES } from '../../../src/domain/job/job-state.js';
import { StoreUnavailableError } from '../../../src/jobs/ports/job-store.port.js';
import { newJob, NOON, progress } from '../../support/jobs.js';
import type { StoreHarness } from './harness.js';
import { MINUTE, ROOMY, label } from './harness.js';

export function describeReading(harness: StoreHarness): void {
  const { submit, submitOne, claim, mustGet, storedEvents, complete, retry, inState, runningThen } = harness;

  describe('reading', () => {
    it('knows nothing of a job that was never submitted', async () => {
      const { id } = newJob();

      expect(await harness.store.get(id)).toBeNull();
      expect(await harness.store.queuePosition(id)).toBeNull();
      expect(await harness.store.eventsAfter(id, 0)).toEqual([]);
    });

    it('lists newest first, page by page', async () => {
      const jobs = await submit(...Array.from({ length: 5 }, () => newJob()));
      const newestFirst = jobs.map(({ id }) => id).toReversed();

      const first = await harness.store.list({ limit: 2 });
      const second = await harness.store.list({ limit: 2, beforeId: first[1]!.id });
      const third = await harness.store.list({ limit: 2, beforeId: second[1]!.id });

      expect([...first, ...second, ...third].map(({ id }) => id)).toEqual(newestFirst);
      expect(await harness.store.list({ limit: 2, beforeId: third[0]!.id })).toEqual([]);
    });

    it('lists jobs whole, with their attempts', async () => {
      const { id } = await runningThen(retry);

      expect(await harness.store.list({ limit: 10 })).toEqual([await mustGet(id)]);
      expect((await harness.store.list({ limit: 10 }))[0]?.attempts).toHaveLength(1);
    });

    it('lists by state, also by several', async () => {
      const succeeded = await inState.succeeded();
      const failed = await inState.failed();
      const queued = await inState.queued();
      const ids = async (...states: JobState[]) =>
        (await harness.store.list({ states, limit: 10 })).map(({ id }) => id);

      expect(await ids('failed')).toEqual([failed.id]);
      expect(await ids('succeeded', 'queued')).toEqual([queued.id, succeeded.id]);
      expect(await ids('expired')).toEqual([]);
      expect(await ids()).toEqual([]);
    });

    it('lists by model and priority, with the page cut after the filter', async () => {
      const [urgent] = await submit(
        newJob({ request: { model: 'flux', priority: 'urgent' } }),
        newJob({ request: { model: 'flux', priority: 'low' } }),
        newJob({ request: { model: 'shapes', priority: 'urgent' } }),
      );
      const filter = { model: 'flux', priority: 'urgent', limit: 1 } as const;

      expect((await harness.store.list(filter)).map(({ id }) => id)).toEqual([urgent!.id]);
      expect((await harness.store.list({ ...filter, states: ['queued', 'running'] })).map(({ id }) => id)).toEqual([
        urgent!.id,
      ]);
      expect(await harness.store.list({ ...filter, priority: 'high' })).toEqual([]);
    });

    it('counts every state, through all its changes', async () => {
      const none = { scheduled: 0, queued: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0, expired: 0 };
      expect(await harness.store.countByState()).toEqual(none);

      for (const state of JOB_STATES.filter((each) => each !== 'queued')) await inState[state]();
      await inState.queued();

      expect(await harness.store.countByState()).toEqual({
        scheduled: 1,
        queued: 1,
        running: 1,
        succeeded: 1,
        failed: 1,
        cancelled: 1,
        expired: 1,
      });
      await harness.store.purge(NOON + MINUTE, 10);
      expect(await harness.store.countByState()).toEqual({ ...none, scheduled: 1, queued: 1, running: 1 });
    });

    it('counts those that wait by class, and since when', async () => {
      expect(await harness.store.countWaiting()).toEqual([]);

      await submit(
        newJob({ request: { priority: 'low' }, createdAt: NOON + 2 }),
        newJob({ request: { priority: 'low' }, createdAt: NOON + 1 }),
        newJob({ request: { priority: 'urgent' } }),
        newJob({ request: { priority: 'high' }, runAt: NOON + MINUTE, createdAt: NOON + 3 }),
      );
      await claim();

      const waiting = await harness.store.countWaiting();
      expect(waiting.toSorted((one, other) => one.oldestAt - other.oldestAt)).toEqual([
        { state: 'queued', priority: 'low', jobs: 2, oldestAt: NOON + 1 },
        { state: 'scheduled', priority: 'high', jobs: 1, oldestAt: NOON + 3 },
      ]);
    });

    it('tells which database it is', async () => {
      const { kind, version } = await harness.store.engine();

      expect(['sqlite', 'postgresql']).toContain(kind);
      expect(version).toMatch(/^\d+\.\d+/);
    });

    it('counts what was finished since a time, and not what was called off', async () => {
      await inState.succeeded();
      await inState.failed();
      await inState.cancelled();
      await inState.expired();
      await inState.running();

      expect(await harness.store.countFinishedSince(NOON)).toBe(2);
      expect(await harness.store.countFinishedSince(NOON + 1)).toBe(0);
    });

    it('tells the place of a queued job over all models, and of no other', async () => {
      const [second, third, first] = await submit(
        newJob({ request: { model: 'flux' }, createdAt: NOON + 1 }),
        newJob({ request: { model: 'shapes' }, createdAt: NOON + 2 }),
        newJob({ request: { model: 'shapes' }, createdAt: NOON }),
      );

      expect(await harness.store.queuePosition(first!.id)).toBe(1);
      expect(await harness.store.queuePosition(second!.id)).toBe(2);
      expect(await harness.store.queuePosition(third!.id)).toBe(3);

      await claim();
      expect(await harness.store.queuePosition(first!.id)).toBeNull();
      expect(await harness.store.queuePosition(third!.id)).toBe(2);
    });
  });

  describe('events', () => {
    it('replays from a number', async () => {
      const { id } = await inState.succeeded();

      expect((await harness.store.eventsAfter(id, 2)).map(label)).toEqual(['artifact 0', 'state succeeded 1', 'final']);
      expect(await harness.store.eventsAfter(id, 5)).toEqual([]);
    });

    it('are numbered per job without gaps, and told as stored, when many write at once', async () => {
      await submit(newJob(), newJob(), newJob());
      const held = [await claim(), await claim(), await claim()];

      const told = await Promise.all(
        Array.from({ length: 60 }, (_, i) => {
          const report = progress({ step: i });
          return harness.store.recordProgressIfClaimed(
            held[i % 3]!.claim,
            report,
            [
              { type: 'progress', progress: report },
              { type: 'progress', progress: report },
            ],
            NOON + i,
          );
        }),
      );

      for (const { job } of held) {
        const stored = await harness.store.eventsAfter(job.id, 0);
        expect(stored.map(({ seq }) => seq)).toEqual(Array.from({ length: 42 }, (_, i) => i + 1));
        const toldOfJob = told.flatMap(({ events }) => events).filter(({ jobId }) => jobId === job.id);
        expect(toldOfJob.toSorted((a, b) => a.seq - b.seq)).toEqual(stored.slice(2));
      }
    });

    it('tell the whole life of a job in order', async () => {
      const { id } = await submitOne({ runAt: NOON });
      await harness.store.promoteDue(NOON);
      await retry((await claim()).claim, NOON);
      await harness.store.promoteDue(NOON);
      await complete((await claim()).claim);

      expect(await storedEvents(id)).toEqual([
        'state scheduled 0',
        'state queued 0',
        'state running 1',
        'state scheduled 1',
        'state queued 1',
        'state running 2',
        'artifact 0',
        'state succeeded 2',
        'final',
      ]);
    });
  });

  describe('close', () => {
    it('is safe twice, finishes what was asked before and refuses what comes after', async () => {
      const before = harness.store.insert([newJob()], ROOMY, null);

      await Promise.all([harness.store.close(), harness.store.close()]);
      await harness.store.close();

      expect(await before).toMatchObject({ outcome: 'inserted' });
      await expect(harness.store.insert([newJob()], ROOMY, null)).rejects.toThrow(StoreUnavailableError);
    });
  });
}
