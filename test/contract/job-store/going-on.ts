import type { Degradation } from '../../../src/domain/degradation/degradation.js';
import { attemptRecord, NOON } from '../../support/jobs.js';
import type { StoreHarness } from './harness.js';
import { CLAIMER, label, LOST, MINUTE, nextTry, warm } from './harness.js';

const CHECKPOINT = { key: 'job/checkpoints/1-a', step: 7, bytes: 99, attempt: 1 };

const TILED: Degradation = {
  rung: 'vae_tiling',
  fidelity: 'equivalent',
  cause: 'device_out_of_memory',
  attempt: 1,
  at: NOON,
};

/** How a job goes on after what happened to its attempts and nodes. */
export function describeGoingOn(harness: StoreHarness): void {
  const { submitOne, claim, mustGet, storedEvents, complete, end } = harness;
  const failed = () => attemptRecord({ outcome: 'failed', failure: LOST });

  describe('checkpoints', () => {
    it('keeps the last one, and says which it takes the place of', async () => {
      const { id } = await submitOne();
      const held = await claim();

      expect(await harness.store.recordCheckpointIfClaimed(held.claim, CHECKPOINT)).toEqual({
        recorded: true,
        replaced: null,
      });
      const next = { ...CHECKPOINT, key: 'job/checkpoints/1-b', step: 9 };
      expect(await harness.store.recordCheckpointIfClaimed(held.claim, next)).toEqual({
        recorded: true,
        replaced: CHECKPOINT.key,
      });
      expect((await mustGet(id)).checkpoint).toEqual(next);
    });

    it('refuses that of an attempt whose claim is lost', async () => {
      const { id } = await submitOne();
      const held = await claim();
      await harness.giveBack(held.claim);

      expect(await harness.store.recordCheckpointIfClaimed(held.claim, CHECKPOINT)).toMatchObject({ recorded: false });
      expect((await mustGet(id)).checkpoint).toBeNull();
    });

    it.each([true, false])('goes with the job to its next attempt when that is wished: %s', async (keepCheckpoint) => {
      await submitOne();
      const held = await claim();
      await harness.store.recordCheckpointIfClaimed(held.claim, CHECKPOINT);
      await harness.store.retryIfClaimed(held.claim, failed(), nextTry({ keepCheckpoint }), NOON);

      expect((await claim()).job.checkpoint).toEqual(keepCheckpoint ? CHECKPOINT : null);
    });

    it('stays when a job is given back, and goes when it is final', async () => {
      const { id } = await submitOne();
      const first = await claim();
      await harness.store.recordCheckpointIfClaimed(first.claim, CHECKPOINT);
      await harness.giveBack(first.claim);
      expect((await mustGet(id)).checkpoint).toEqual(CHECKPOINT);
      const second = await claim();
      await complete(second.claim);
      expect((await mustGet(id)).checkpoint).toBeNull();
    });
  });

  describe('rungs', () => {
    it('stands on them at the next attempt, and tells each once', async () => {
      const { id } = await submitOne();
      const held = await claim();
      const next = nextTry({ degradations: [TILED], solo: true });
      await harness.store.retryIfClaimed(held.claim, failed(), next, NOON);

      const again = await claim();
      expect(again.job).toMatchObject({ degradations: [TILED], solo: true });
      await harness.store.retryIfClaimed(again.claim, failed(), next, NOON);
      expect((await storedEvents(id)).filter((event) => event === 'degradation')).toHaveLength(1);
    });

    it('tells those that were foreseen when they are recorded, and not again', async () => {
      const { id } = await submitOne();
      const held = await claim();
      const foreseen = [{ ...TILED, cause: 'predicted' as const }];
      const recorded = await harness.store.recordDegradationsIfClaimed(held.claim, foreseen, NOON);
      await harness.store.retryIfClaimed(held.claim, failed(), nextTry({ degradations: foreseen }), NOON);

      expect(recorded).toMatchObject({
        recorded: true,
        events: [{ body: { type: 'degradation', cause: 'predicted' } }],
      });
      expect((await storedEvents(id)).filter((event) => event === 'degradation')).toHaveLength(1);
      expect((await mustGet(id)).degradations).toEqual(foreseen);
    });

    it('tells none, and stands on none, when the job is cancelled instead of tried again', async () => {
      const { id } = await submitOne();
      const held = await claim();
      await harness.store.requestCancel(id, NOON);
      const { events } = await harness.store.retryIfClaimed(
        held.claim,
        failed(),
        nextTry({ degradations: [TILED] }),
        NOON,
      );

      expect(events.map(label)).toEqual(['state cancelled 1', 'final']);
      expect(await storedEvents(id)).not.toContain('degradation');
      expect((await mustGet(id)).degradations).toEqual([]);
    });

    it('records none for who has lost the claim', async () => {
      const { id } = await submitOne();
      const held = await claim();
      await harness.giveBack(held.claim);

      expect(await harness.store.recordDegradationsIfClaimed(held.claim, [TILED], NOON)).toEqual({
        recorded: false,
        events: [],
      });
      expect((await mustGet(id)).degradations).toEqual([]);
    });
  });

  it('goes back into the queue at once when it is not to wait', async () => {
    const { id } = await submitOne();
    const held = await claim();
    const recorded = await harness.store.retryIfClaimed(held.claim, failed(), nextTry(), NOON);

    expect(recorded.recorded).toBe(true);
    expect(await mustGet(id)).toMatchObject({ state: 'queued', runAt: null, node: null, failure: LOST });
  });

  it('keeps the memory an attempt ended with, and the node it ran on', async () => {
    const { id } = await submitOne();
    const held = await claim();
    const memory = { totalBytes: 9, freeBytes: 1, allocatedBytes: 7, reservedBytes: 8 };
    await harness.store.endIfClaimed(
      held.claim,
      attemptRecord({ outcome: 'failed', failure: LOST, memory }),
      { state: 'failed', failure: LOST },
      NOON,
    );

    expect((await mustGet(id)).attempts).toMatchObject([{ node: CLAIMER.nodeName, memory }]);
  });

  describe('claims of nodes', () => {
    const claimAs = (node: string, leaseMs: number) =>
      harness.store.claimNext(warm(['shapes'], 0), { ...CLAIMER, node, leaseMs }, NOON);

    it('renews those of one node, and tells which are asked to be cancelled', async () => {
      for (let i = 0; i < 3; i++) await submitOne({ createdAt: NOON + i });
      const [first, second] = [await claimAs('a', MINUTE), await claimAs('a', MINUTE)];
      await claimAs('b', MINUTE);
      await harness.store.requestCancel(second!.job.id, NOON);

      const renewed = await harness.store.renewClaims('a', MINUTE, NOON);
      expect(renewed.toSorted((a, b) => (a.jobId < b.jobId ? -1 : 1))).toEqual(
        [
          { jobId: first!.job.id, token: first!.claim.token, cancelRequested: false },
          { jobId: second!.job.id, token: second!.claim.token, cancelRequested: true },
        ].toSorted((a, b) => (a.jobId < b.jobId ? -1 : 1)),
      );
      await complete(first!.claim);
      expect(await harness.store.renewClaims('a', MINUTE, NOON)).toHaveLength(1);
      expect(await harness.store.renewClaims('nobody', MINUTE, NOON)).toEqual([]);
    });

    it('takes back what a node held, and nothing of others', async () => {
      const [one, two] = [await submitOne({ createdAt: NOON }), await submitOne({ createdAt: NOON + 1 })];
      await claimAs('a', MINUTE);
      await claimAs('b', MINUTE);
      await harness.store.reclaim({ kind: 'node', node: 'a' }, LOST, 20, NOON);

      expect(await mustGet(one.id)).toMatchObject({ state: 'queued', node: null });
      expect(await mustGet(two.id)).toMatchObject({ state: 'running', node: 'b' });
    });

    it('takes back what was not renewed in time, and fences off who had it', async () => {
      const [late, live] = [await submitOne({ createdAt: NOON }), await submitOne({ createdAt: NOON + 1 })];
      const lost = await claimAs('a', -MINUTE);
      await claimAs('b', 60 * MINUTE);
      await harness.store.reclaim({ kind: 'expired' }, LOST, 20, NOON);

      expect(await mustGet(late.id)).toMatchObject({ state: 'queued', attempts: [{ outcome: 'failed' }] });
      expect((await mustGet(live.id)).state).toBe('running');
      expect((await complete(lost!.claim)).recorded).toBe(false);
      expect((await mustGet(late.id)).artifacts).toEqual([]);
    });

    it('leaves a claim alone that was renewed', async () => {
      const { id } = await submitOne();
      await claimAs('a', -MINUTE);
      await harness.store.renewClaims('a', 60 * MINUTE, NOON);

      expect(await harness.store.reclaim({ kind: 'expired' }, LOST, 20, NOON)).toEqual([]);
      expect((await mustGet(id)).state).toBe('running');
    });

    it('keeps the checkpoint of a job it takes back', async () => {
      const { id } = await submitOne();
      const held = await claimAs('a', MINUTE);
      await harness.store.recordCheckpointIfClaimed(held!.claim, CHECKPOINT);
      await harness.store.reclaim({ kind: 'node', node: 'a' }, LOST, 20, NOON);

      expect((await mustGet(id)).checkpoint).toEqual(CHECKPOINT);
    });

    it('fails a job that has been lost too often, and drops its checkpoint', async () => {
      const { id } = await submitOne();
      const held = await claimAs('a', MINUTE);
      await harness.store.recordCheckpointIfClaimed(held!.claim, CHECKPOINT);
      await harness.store.reclaim({ kind: 'node', node: 'a' }, LOST, 1, NOON);

      expect(await mustGet(id)).toMatchObject({ state: 'failed', checkpoint: null });
      expect((await end(held!.claim, 'failed')).recorded).toBe(false);
    });
  });
}
