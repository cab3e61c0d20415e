import { isFinal, JOB_STATES } from '../../../src/domain/job/job-state.js';
import { attemptRecord, NOON } from '../../support/jobs.js';
import type { StoreHarness } from './harness.js';
import { MINUTE, LOST } from './harness.js';

const NOT_FINAL = JOB_STATES.filter((state) => !isFinal(state));

export function describePurging(harness: StoreHarness): void {
  const { inState, runningThen } = harness;

  describe('purge', () => {
    it('deletes final jobs with all that hangs on them', async () => {
      const old = await inState.succeeded();
      const kept = await runningThen((held) =>
        harness.store.endIfClaimed(held, attemptRecord(), { state: 'failed', failure: LOST }, NOON + 1),
      );

      expect(await harness.store.purge(NOON + 1, 10)).toEqual([old.id]);
      expect(await harness.store.get(old.id)).toBeNull();
      expect(await harness.store.eventsAfter(old.id, 0)).toEqual([]);
      expect(await harness.store.get(kept.id)).not.toBeNull();
    });

    it('deletes no more than asked, the oldest first', async () => {
      const first = await inState.succeeded();
      const second = await inState.failed();
      const third = await runningThen((held) =>
        harness.store.endIfClaimed(held, attemptRecord(), { state: 'failed', failure: LOST }, NOON - 1),
      );

      expect(await harness.store.purge(NOON + 1, 1)).toEqual([third.id]);
      expect((await harness.store.purge(NOON + 1, 9)).toSorted()).toEqual([first.id, second.id].toSorted());
      expect(await harness.store.purge(NOON + 1, 9)).toEqual([]);
    });

    it.each(NOT_FINAL)('keeps a job that is %s', async (state) => {
      const { id } = await inState[state]();

      expect(await harness.store.purge(NOON + 60 * MINUTE, 10)).toEqual([]);
      expect(await harness.store.get(id)).not.toBeNull();
    });
  });
}
