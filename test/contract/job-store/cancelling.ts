import { isFinal, JOB_STATES } from '../../../src/domain/job/job-state.js';
import { newJob, NOON } from '../../support/jobs.js';
import type { StoreHarness } from './harness.js';
import { SECOND, MINUTE, LOST, CLAIMER, warm, label } from './harness.js';

export function describeCancelling(harness: StoreHarness): void {
  const { submit, claimOrder, mustGet, everythingOf, end, retry, inState, runningThen } = harness;

  describe('requestCancel', () => {
    it.each(['scheduled', 'queued'] as const)('cancels a job that is %s at once', async (state) => {
      const { id } = await inState[state]();

      const { job, events } = await harness.store.requestCancel(id, NOON + SECOND);

      expect(events.map(label)).toEqual(['state cancelled 0', 'final']);
      expect(events).toEqual(await harness.store.eventsAfter(id, 1));
      expect(job).toMatchObject({
        state: 'cancelled',
        cancelRequestedAt: NOON + SECOND,
        finishedAt: NOON + SECOND,
        runAt: null,
        failure: null,
      });
      expect(job).toEqual(await mustGet(id));
      expect(await claimOrder()).toEqual([]);
    });

    it('cancels a job that waits for its retry, and drops the failure it waited for', async () => {
      const { id } = await runningThen(retry);

      const { job, events } = await harness.store.requestCancel(id, NOON + SECOND);

      expect(events.map(label)).toEqual(['state cancelled 1', 'final']);
      expect(job).toMatchObject({ state: 'cancelled', runAt: null, failure: null, attempts: [{ failure: LOST }] });
      expect(job).toEqual(await mustGet(id));
    });

    it('notes the first request on a running job, which goes on', async () => {
      const { id, claim: held } = await inState.running();

      const { job, events } = await harness.store.requestCancel(id, NOON + SECOND);
      await harness.store.requestCancel(id, NOON + MINUTE);

      expect(events).toEqual([]);
      expect(job).toMatchObject({ state: 'running', cancelRequestedAt: NOON + SECOND, attempts: [{ number: 1 }] });
      expect((await mustGet(id)).cancelRequestedAt).toBe(NOON + SECOND);
      expect((await end(held, 'cancelled')).recorded).toBe(true);
    });

    it.each(JOB_STATES.filter(isFinal))('leaves a job that is %s as it is', async (state) => {
      const { id } = await inState[state]();
      const before = await everythingOf(id);

      const { job, events } = await harness.store.requestCancel(id, NOON + SECOND);

      expect(events).toEqual([]);
      expect(job).toEqual(await mustGet(id));
      expect(await everythingOf(id)).toEqual(before);
    });

    it('says so when there is no such job', async () => {
      expect(await harness.store.requestCancel(newJob().id, NOON)).toEqual({ job: null, events: [] });
    });

    it('either cancels or loses to a claim, never both', async () => {
      const jobs = await submit(...Array.from({ length: 50 }, () => newJob()));

      const [cancels, claims] = await Promise.all([
        Promise.all(jobs.map(({ id }) => harness.store.requestCancel(id, NOON))),
        Promise.all(jobs.map(() => harness.store.claimNext(warm(['shapes'], 0), CLAIMER, NOON))),
      ]);

      const cancelled = cancels.filter(({ job }) => job?.state === 'cancelled').length;
      expect(cancelled + claims.filter((each) => each !== null).length).toBe(50);
    });
  });
}
