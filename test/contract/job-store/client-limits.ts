import type { ClientBound } from '../../../src/domain/access/client-bound.js';
import { newJob, NOON } from '../../support/jobs.js';
import type { StoreHarness } from './harness.js';
import { MINUTE } from './harness.js';

const LATER = NOON + MINUTE;

const unfinished = (client: string, max: number): ClientBound => ({ client, maxUnfinished: max, spans: [] });

const perMinute = (adds: number, max: number, startsAt = NOON): ClientBound => ({
  client: 'ada',
  maxUnfinished: null,
  spans: [{ span: 'minute', startsAt, adds, max }],
});

export function describeClientLimits(harness: StoreHarness): void {
  const insert = (client: ClientBound, jobs = 1) =>
    harness.store.insert(
      Array.from({ length: jobs }, () => newJob({ client: client.client })),
      { maxWaiting: 1000, client },
      null,
    );
  const countJobs = async () => Object.values(await harness.store.countByState()).reduce((sum, n) => sum + n, 0);

  describe('limits of a client', () => {
    it('count its jobs that are not final, and those of nobody else', async () => {
      expect((await insert(unfinished('ada', 2), 2)).outcome).toBe('inserted');
      expect(await insert(unfinished('ada', 2))).toEqual({
        outcome: 'over_limit',
        limit: 'max_unfinished_jobs',
        used: 2,
        max: 2,
        renewsAt: null,
      });
      expect((await insert(unfinished('bob', 2), 2)).outcome).toBe('inserted');

      const [job] = await harness.store.list({ client: 'ada', limit: 1 });
      await harness.store.requestCancel(job?.id as string, NOON);
      expect((await insert(unfinished('ada', 2))).outcome).toBe('inserted');
    });

    it('count what was used in a span, which begins anew with the next', async () => {
      expect((await insert(perMinute(2, 3), 2)).outcome).toBe('inserted');
      expect(await insert(perMinute(2, 3), 2)).toEqual({
        outcome: 'over_limit',
        limit: 'max_jobs_per_minute',
        used: 2,
        max: 3,
        renewsAt: NOON + MINUTE,
      });
      expect((await insert(perMinute(1, 3))).outcome).toBe('inserted');
      expect((await insert(perMinute(1, 3))).outcome).toBe('over_limit');
      expect((await insert(perMinute(3, 3, LATER), 3)).outcome).toBe('inserted');
    });

    it('take nothing of one span when another refuses', async () => {
      const both = (maxImages: number): ClientBound => ({
        client: 'ada',
        maxUnfinished: null,
        spans: [
          { span: 'minute', startsAt: NOON, adds: 1, max: 1 },
          { span: 'day', startsAt: NOON, adds: 4, max: maxImages },
        ],
      });
      expect(await insert(both(3))).toMatchObject({ outcome: 'over_limit', limit: 'max_images_per_day', used: 0 });
      expect(await countJobs()).toBe(0);
      expect((await insert(both(4))).outcome).toBe('inserted');
    });

    it('let exactly as many through as there are, when all come at once', async () => {
      const results = await Promise.all(Array.from({ length: 12 }, () => insert(perMinute(1, 5))));
      expect(results.filter(({ outcome }) => outcome === 'inserted')).toHaveLength(5);
      expect(await countJobs()).toBe(5);
    });

    it('let no more wait or run than may, when all come at once', async () => {
      const results = await Promise.all(Array.from({ length: 12 }, () => insert(unfinished('ada', 5))));
      expect(results.filter(({ outcome }) => outcome === 'inserted')).toHaveLength(5);
      expect(await countJobs()).toBe(5);
    });
  });

  describe('list of a client', () => {
    it('has its jobs alone, newest first', async () => {
      const mine = [newJob({ client: 'ada' }), newJob({ client: 'ada' })];
      await harness.store.insert([...mine, newJob({ client: 'bob' })], { maxWaiting: 10 }, null);
      const ids = mine
        .map(({ id }) => id)
        .toSorted()
        .toReversed();
      expect((await harness.store.list({ client: 'ada', limit: 10 })).map(({ id }) => id)).toEqual(ids);
      const queued = await harness.store.list({ client: 'ada', states: ['queued', 'running'], limit: 10 });
      expect(queued.map(({ id }) => id)).toEqual(ids);
    });
  });

  describe('shared secrets', () => {
    it('are what the first to ask brought, for everybody and under each name', async () => {
      const { secrets } = harness.stores;
      const brought = ['first', 'second', 'third'];
      const given = await Promise.all(brought.map((fresh) => secrets.obtain('links', fresh)));
      expect(new Set(given).size).toBe(1);
      expect(brought).toContain(given[0]);
      expect(await secrets.obtain('links', 'late')).toBe(given[0]);
      expect(await secrets.obtain('other', 'its own')).toBe('its own');
    });
  });
}
