import { newJob, NOON } from '../../support/jobs.js';
import type { StoreHarness } from './harness.js';
import { CLAIMER, MINUTE, nextTry, ROOMY, SECOND, warm } from './harness.js';
import { attemptRecord } from '../../support/jobs.js';

/** Whose turn it is, and what a worker may be given. */
export function describeSharingTurns(harness: StoreHarness): void {
  const { submitOne, claim } = harness;

  /** Claims all there is, one after the other; what `of` says of each. */
  async function claimAll<T>(of: (job: { client: string; id: string }) => T): Promise<T[]> {
    const seen: T[] = [];
    for (let at = NOON; ; at += SECOND) {
      const next = await harness.store.claimNext(warm(['shapes'], 0), CLAIMER, at);
      if (next === null) return seen;
      seen.push(of(next.job));
    }
  }

  describe('turns of clients', () => {
    it('serves clients in turn, whoever came first with however many', async () => {
      for (let i = 0; i < 4; i++) await submitOne({ client: 'many', createdAt: NOON - MINUTE + i });
      for (const client of ['few', 'one']) await submitOne({ client, createdAt: NOON });
      await submitOne({ client: 'few', createdAt: NOON + 1 });

      expect(await claimAll(({ client }) => client)).toEqual(['many', 'few', 'one', 'many', 'few', 'many', 'many']);
    });

    it('keeps the order of submission within a client', async () => {
      const ids: string[] = [];
      for (let i = 0; i < 3; i++) ids.push((await submitOne({ client: 'a', createdAt: NOON + i })).id);
      await submitOne({ client: 'b', createdAt: NOON });

      expect((await claimAll(({ id }) => id)).filter((id) => ids.includes(id))).toEqual(ids);
    });

    it('does not let a turn pass a class: who has nothing urgent waits for who has', async () => {
      await submitOne({ client: 'a', request: { priority: 'urgent' } });
      await submitOne({ client: 'a', request: { priority: 'urgent' } });
      await submitOne({ client: 'b', request: { priority: 'normal' } });

      expect(await claimAll(({ client }) => client)).toEqual(['a', 'a', 'b']);
    });

    it('lets a job of a lower class pass in the end', async () => {
      const low = await submitOne({ client: 'a', request: { priority: 'low' }, createdAt: NOON - 60 * MINUTE });
      await submitOne({ client: 'b', request: { priority: 'normal' }, createdAt: NOON });

      expect((await claimAll(({ id }) => id))[0]).toBe(low.id);
    });
  });

  describe('what a worker may be given', () => {
    it('passes over pictures there is no room for', async () => {
      await submitOne({ request: { width: 1024, height: 1024 }, createdAt: NOON - MINUTE });
      const small = await submitOne({ request: { width: 64, height: 64 } });
      const room = [{ model: 'shapes', bonusMs: 0, maxPixels: 64 * 64 }];

      expect((await harness.store.claimNext(room, CLAIMER, NOON))?.job.id).toBe(small.id);
      expect(await harness.store.claimNext(room, CLAIMER, NOON)).toBeNull();
      expect(await harness.store.claimNext(warm(['shapes'], 0), CLAIMER, NOON)).not.toBeNull();
    });

    it('passes over jobs that avoid it, and over no others', async () => {
      await submitOne();
      const held = await claim();
      const record = attemptRecord({ outcome: 'failed' });
      await harness.store.retryIfClaimed(held.claim, record, nextTry({ avoids: ['one/cpu-0', 'two/cuda-1'] }), NOON);

      for (const worker of ['one/cpu-0', 'two/cuda-1']) {
        expect(await harness.store.claimNext(warm(['shapes'], 0), { ...CLAIMER, worker }, NOON)).toBeNull();
      }
      const other = await harness.store.claimNext(warm(['shapes'], 0), { ...CLAIMER, worker: 'one/cpu-01' }, NOON);
      expect(other?.job).toMatchObject({ id: held.job.id, avoids: ['one/cpu-0', 'two/cuda-1'] });
    });
  });

  it('counts what is ahead, and finds the first of a class', async () => {
    const models = ['shapes', 'flux'];
    expect(await harness.store.firstQueued('urgent', models)).toBeNull();
    await submitOne({ request: { priority: 'normal' } });
    await submitOne({ request: { priority: 'urgent', model: 'flux' }, createdAt: NOON + 1 });
    const first = await submitOne({ request: { priority: 'urgent' } });

    expect(await harness.store.firstQueued('urgent', models)).toEqual({ id: first.id, model: 'shapes' });
    expect(await harness.store.firstQueued('urgent', [])).toBeNull();
    expect(await harness.store.countAhead(NOON)).toBe(1);
    expect(await harness.store.countAhead(NOON + 60 * MINUTE)).toBe(3);
  });

  it('gives no job to two of many who claim at once', async () => {
    await harness.store.insert(
      Array.from({ length: 120 }, (_, i) => newJob({ client: `client ${i % 3}`, createdAt: NOON + i })),
      ROOMY,
      null,
    );
    const ids: string[] = [];
    const claimer = async (node: string) => {
      for (;;) {
        const next = await harness.store.claimNext(warm(['shapes'], 0), { ...CLAIMER, node }, NOON);
        if (next === null) return;
        ids.push(next.job.id);
      }
    };
    await Promise.all(['a', 'b', 'c', 'd'].map(claimer));

    // One that found all it would have got taken comes back a moment later; so does this.
    await claimer('e');
    expect(ids).toHaveLength(120);
    expect(new Set(ids).size).toBe(120);
  });
}
