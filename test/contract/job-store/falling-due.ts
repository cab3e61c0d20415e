import { newJob, NOON } from '../../support/jobs.js';
import type { StoreHarness } from './harness.js';
import { MINUTE, label } from './harness.js';

export function describeFallingDue(harness: StoreHarness): void {
  const { submitOne, claim, mustGet, retry } = harness;

  describe('what falls due', () => {
    it('promotes scheduled jobs at their time, not before', async () => {
      const { id } = await submitOne({ runAt: NOON + MINUTE });
      const later = await submitOne({ runAt: NOON + MINUTE + 1 });

      expect(await harness.store.promoteDue(NOON + MINUTE - 1)).toEqual([]);
      const events = await harness.store.promoteDue(NOON + MINUTE);

      expect(events).toEqual(await harness.store.eventsAfter(id, 1));
      expect(events.map(label)).toEqual(['state queued 0']);
      expect(await mustGet(id)).toMatchObject({ state: 'queued', runAt: null });
      expect((await mustGet(later.id)).state).toBe('scheduled');
      expect(await harness.store.promoteDue(NOON + MINUTE)).toEqual([]);
    });

    it('promotes and expires a great many in pieces, and tells that there are more', async () => {
      const late = { start_by: NOON + MINUTE };
      await harness.submit(...Array.from({ length: 501 }, () => newJob({ runAt: NOON, request: late })));

      expect(await harness.store.promoteDue(NOON)).toHaveLength(500);
      expect(await harness.store.nextDueAt()).toBe(NOON);
      expect(await harness.store.promoteDue(NOON)).toHaveLength(1);
      expect(await harness.store.promoteDue(NOON)).toEqual([]);

      expect(await harness.store.expireDue(NOON + MINUTE)).toHaveLength(2 * 500);
      expect(await harness.store.nextDueAt()).toBe(NOON + MINUTE);
      expect(await harness.store.expireDue(NOON + MINUTE)).toHaveLength(2);
      expect(await harness.store.nextDueAt()).toBeNull();
    });

    it.each([
      ['start_by', null],
      ['start_by', NOON + 9 * MINUTE],
      ['finish_by', null],
      ['finish_by', NOON + 9 * MINUTE],
    ] as const)('expires a waiting job whose %s has passed (run at %p)', async (field, runAt) => {
      const { id } = await submitOne({ runAt, request: { [field]: NOON + MINUTE } });
      const other = await submitOne();

      expect(await harness.store.expireDue(NOON + MINUTE - 1)).toEqual([]);
      const events = await harness.store.expireDue(NOON + MINUTE);

      expect(events).toEqual(await harness.store.eventsAfter(id, 1));
      expect(events.map(label)).toEqual(['state expired 0', 'final']);
      expect(await mustGet(id)).toMatchObject({
        state: 'expired',
        finishedAt: NOON + MINUTE,
        runAt: null,
        failure: { kind: 'deadline_exceeded', field },
      });
      expect((await mustGet(other.id)).state).toBe('queued');
    });

    it('expires a job once, though both of its deadlines have passed', async () => {
      const { id } = await submitOne({ request: { start_by: NOON + 1, finish_by: NOON + 2 } });

      expect((await harness.store.expireDue(NOON + MINUTE)).map(label)).toEqual(['state expired 0', 'final']);
      expect((await mustGet(id)).failure).toMatchObject({ field: 'finish_by' });
    });

    it('holds a job that has begun to its finish_by alone, and the owner to end it while it runs', async () => {
      const { id } = await submitOne({ request: { start_by: NOON + MINUTE, finish_by: NOON + 9 * MINUTE } });
      const { claim: held } = await claim();

      expect(await harness.store.expireDue(NOON + 60 * MINUTE)).toEqual([]);
      await retry(held, NOON + 2 * MINUTE);
      expect(await harness.store.expireDue(NOON + 2 * MINUTE)).toEqual([]);
      expect(await harness.store.nextDueAt()).toBe(NOON + 2 * MINUTE);
      expect((await harness.store.expireDue(NOON + 9 * MINUTE)).map(label)).toEqual(['state expired 1', 'final']);
      expect((await mustGet(id)).state).toBe('expired');
    });

    it('tells when something falls due next', async () => {
      expect(await harness.store.nextDueAt()).toBeNull();
      await submitOne();
      expect(await harness.store.nextDueAt()).toBeNull();

      await submitOne({ runAt: NOON + 9 * MINUTE });
      expect(await harness.store.nextDueAt()).toBe(NOON + 9 * MINUTE);
      await submitOne({ request: { finish_by: NOON + 8 * MINUTE } });
      expect(await harness.store.nextDueAt()).toBe(NOON + 8 * MINUTE);
      await submitOne({ runAt: NOON + 9 * MINUTE, request: { start_by: NOON + 7 * MINUTE } });
      expect(await harness.store.nextDueAt()).toBe(NOON + 7 * MINUTE);

      await harness.store.expireDue(NOON + 8 * MINUTE);
      expect(await harness.store.nextDueAt()).toBe(NOON + 9 * MINUTE);
      await harness.store.promoteDue(NOON + 9 * MINUTE);
      expect(await harness.store.nextDueAt()).toBeNull();
    });
  });
}
