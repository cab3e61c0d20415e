import { JOB_STATES } from '../../../src/domain/job/job-state.js';
import { newJob, NOON } from '../../support/jobs.js';
import type { StoreHarness } from './harness.js';
import { SECOND, MINUTE, CLAIMER, warm } from './harness.js';

export function describeClaiming(harness: StoreHarness): void {
  const { submit, submitOne, claimOrder, mustGet, everythingOf, storedEvents, inState } = harness;

  describe('claimNext', () => {
    it('moves the job to running and opens its first attempt', async () => {
      const { id } = await submitOne();

      const claimed = await harness.store.claimNext(warm(['shapes'], 0), CLAIMER, NOON + 5);

      expect(claimed?.claim).toMatchObject({ jobId: id, attempt: 1 });
      expect(claimed?.job).toMatchObject({
        id,
        state: 'running',
        startedAt: NOON + 5,
        attempts: [
          {
            number: 1,
            startedAt: NOON + 5,
            finishedAt: null,
            outcome: 'running',
            worker: 'cpu-0',
            device: 'cpu:0',
            phase: null,
            step: 0,
            failure: null,
            phases: [],
            degradations: [],
          },
        ],
      });
      expect(claimed?.job).toEqual(await mustGet(id));
      expect(claimed?.events).toEqual(await harness.store.eventsAfter(id, 1));
      expect(await storedEvents(id)).toEqual(['state queued 0', 'state running 1']);
    });

    it('has nothing for a device that can run no model, or none that waits', async () => {
      await submitOne();

      expect(await harness.store.claimNext([], CLAIMER, NOON)).toBeNull();
      expect(await harness.store.claimNext(warm(['flux', 'sdxl'], 30 * SECOND), CLAIMER, NOON)).toBeNull();
    });

    it.each(JOB_STATES.filter((state) => state !== 'queued'))('does not take a job that is %s', async (state) => {
      const { id } = await inState[state]();
      const before = await everythingOf(id);

      expect(await harness.store.claimNext(warm(['shapes'], 0), CLAIMER, NOON)).toBeNull();
      expect(await everythingOf(id)).toEqual(before);
    });

    it('is first in, first out within a class', async () => {
      const jobs = await submit(
        newJob({ createdAt: NOON + 2 }),
        newJob({ createdAt: NOON + 1 }),
        newJob({ createdAt: NOON + 1 }),
      );

      expect(await claimOrder()).toEqual([jobs[1]!.id, jobs[2]!.id, jobs[0]!.id]);
    });

    it('takes urgent before high before normal before low', async () => {
      const [low, normal, high, urgent] = await submit(
        ...(['low', 'normal', 'high', 'urgent'] as const).map((priority) => newJob({ request: { priority } })),
      );

      expect(await claimOrder()).toEqual([urgent!.id, high!.id, normal!.id, low!.id]);
    });

    it('lets a job that has waited long pass fresh ones of higher classes', async () => {
      const [low, urgentSoon, urgentLate, high, normal] = await submit(
        newJob({ request: { priority: 'low' } }),
        newJob({ request: { priority: 'urgent' }, createdAt: NOON + 40 * MINUTE - 1 }),
        newJob({ request: { priority: 'urgent' }, createdAt: NOON + 40 * MINUTE + 1 }),
        newJob({ request: { priority: 'high' }, createdAt: NOON + 38 * MINUTE + 2 }),
        newJob({ request: { priority: 'normal' }, createdAt: NOON + 30 * MINUTE - 2 }),
      );

      expect(await claimOrder()).toEqual([normal!.id, urgentSoon!.id, low!.id, urgentLate!.id, high!.id]);
    });

    it('keeps one order over several models', async () => {
      const jobs = await submit(
        ...['flux', 'shapes', 'flux', 'shapes'].map((model, i) => newJob({ request: { model }, createdAt: NOON + i })),
      );

      expect(await claimOrder(warm(['shapes', 'flux', 'sdxl'], 0))).toEqual(jobs.map(({ id }) => id));
    });

    it('prefers a warm model, but not beyond its bonus', async () => {
      const models = [...warm(['flux'], 0), ...warm(['shapes'], 30 * SECOND)];
      const [cold, warmSoon, warmLate] = await submit(
        newJob({ request: { model: 'flux' } }),
        newJob({ createdAt: NOON + 29 * SECOND }),
        newJob({ createdAt: NOON + 31 * SECOND }),
      );

      expect(await claimOrder(models)).toEqual([warmSoon!.id, cold!.id, warmLate!.id]);
    });

    it('gives each job to one claimant when many claim at once', async () => {
      const jobs = await submit(...Array.from({ length: 200 }, () => newJob()));

      const claims = await Promise.all(
        Array.from({ length: 250 }, () => harness.store.claimNext(warm(['shapes'], 0), CLAIMER, NOON)),
      );

      const taken = claims.filter((each) => each !== null).map(({ job }) => job.id);
      expect(taken.toSorted()).toEqual(jobs.map(({ id }) => id).toSorted());
      expect(claims.filter((each) => each === null)).toHaveLength(50);
    });
  });
}
