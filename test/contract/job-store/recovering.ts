import { JOB_STATES } from '../../../src/domain/job/job-state.js';
import { newJob, NOON, progress } from '../../support/jobs.js';
import type { StoreHarness } from './harness.js';
import { MINUTE, LOST, label } from './harness.js';

const NOT_RUNNING = JOB_STATES.filter((state) => state !== 'running');

export function describeRecovering(harness: StoreHarness): void {
  const { submit, claim, claimOrder, mustGet, everythingOf, complete, giveBack, inState } = harness;

  describe('reclaim of all', () => {
    it('puts running jobs back at their place, with the attempt failed and its claim void', async () => {
      const [first, second] = await submit(newJob(), newJob({ createdAt: NOON + 1 }));
      const { claim: lost } = await claim();
      await harness.store.recordProgressIfClaimed(lost, progress(), [], NOON);

      const events = await harness.store.reclaim({ kind: 'all' }, LOST, 5, NOON + MINUTE);

      expect(events.map(label)).toEqual(['state queued 1']);
      expect(events).toEqual(await harness.store.eventsAfter(first!.id, 2));
      expect(await mustGet(first!.id)).toMatchObject({
        state: 'queued',
        progress: null,
        failure: LOST,
        finishedAt: null,
        attempts: [{ outcome: 'failed', failure: LOST, finishedAt: NOON + MINUTE, phase: 'denoise', step: 7 }],
      });
      expect((await complete(lost)).recorded).toBe(false);
      expect(await claimOrder()).toEqual([first!.id, second!.id]);
    });

    it('fails a job that has spent its attempts, not counting those given back', async () => {
      const { id, claim: held } = await inState.running();
      await giveBack(held);
      await claim();
      await harness.store.reclaim({ kind: 'all' }, LOST, 2, NOON);
      expect((await mustGet(id)).state).toBe('queued');

      await claim();
      const events = await harness.store.reclaim({ kind: 'all' }, LOST, 2, NOON + MINUTE);

      expect(events.map(label)).toEqual(['state failed 3', 'final']);
      const job = await mustGet(id);
      expect(job).toMatchObject({ state: 'failed', failure: LOST, finishedAt: NOON + MINUTE });
      expect(job.attempts.map(({ outcome }) => outcome)).toEqual(['returned', 'failed', 'failed']);
    });

    it('cancels a job whose cancel is pending, though it has spent its attempts', async () => {
      const { id } = await inState.running();
      await harness.store.requestCancel(id, NOON);

      expect((await harness.store.reclaim({ kind: 'all' }, LOST, 1, NOON)).map(label)).toEqual([
        'state cancelled 1',
        'final',
      ]);
      expect(await mustGet(id)).toMatchObject({ state: 'cancelled', failure: null });
    });

    it.each(NOT_RUNNING)('leaves a job that is %s alone', async (state) => {
      const { id } = await inState[state]();
      const before = await everythingOf(id);

      expect(await harness.store.reclaim({ kind: 'all' }, LOST, 5, NOON)).toEqual([]);
      expect(await everythingOf(id)).toEqual(before);
    });
  });
}
