import { JOB_STATES } from '../../../src/domain/job/job-state.js';
import { spentAttempts } from '../../../src/domain/failure/decide-next.js';
import { artifact, attemptRecord, newJob, NOON, progress } from '../../support/jobs.js';
import type { StoreHarness } from './harness.js';
import { SECOND, MINUTE, LOST, CLAIMER, warm, label } from './harness.js';

const NOT_RUNNING = JOB_STATES.filter((state) => state !== 'running');

export function describeRecording(harness: StoreHarness): void {
  const {
    submit,
    claim,
    claimOrder,
    mustGet,
    everythingOf,
    storedEvents,
    end,
    complete,
    retry,
    giveBack,
    inState,
    guarded,
  } = harness;

  describe('recording under a claim', () => {
    it('notes where the attempt went', async () => {
      const { id } = await inState.running();

      expect((await mustGet(id)).attempts).toMatchObject([{ worker: 'cpu-0', device: 'cpu:0' }]);
    });

    it('stores progress and appends the events, in order', async () => {
      const { id, claim: held } = await inState.running();
      const events = [
        { type: 'phase', phase: 'denoise', attempt: 1 },
        { type: 'degradation', rung: 'vae_tiling', fidelity: 'equivalent', cause: 'device_out_of_memory' },
        { type: 'progress', progress: progress() },
      ] as const;

      const { recorded, events: told } = await harness.store.recordProgressIfClaimed(
        held,
        progress(),
        events,
        NOON + 9,
      );

      expect(recorded).toBe(true);
      expect(told).toEqual(events.map((body, i) => ({ jobId: id, seq: 3 + i, at: NOON + 9, body })));
      expect(told).toEqual(await harness.store.eventsAfter(id, 2));
      expect(await mustGet(id)).toMatchObject({
        progress: progress(),
        attempts: [{ phase: 'denoise', step: 7, outcome: 'running' }],
      });
    });

    it('keeps the furthest phase and step of the attempt', async () => {
      const { id, claim: held } = await inState.running();
      const report = (phase: 'encode' | 'denoise' | 'decode', step: number) =>
        harness.store.recordProgressIfClaimed(held, progress({ phase, step }), [], NOON);

      await report('denoise', 20);
      await report('decode', 0);
      expect((await mustGet(id)).attempts).toMatchObject([{ phase: 'decode', step: 20 }]);
      await report('encode', 3);
      expect((await mustGet(id)).attempts).toMatchObject([{ phase: 'decode', step: 20 }]);
    });

    it('completes with the artifacts, what was really run, and an event for each', async () => {
      const { id, claim: held } = await inState.running();
      const result = { artifacts: [artifact(0), artifact(1)], effective: { dtype: 'bfloat16', steps: 20 } };
      const record = attemptRecord({
        degradations: [
          { rung: 'vae_tiling', fidelity: 'equivalent', cause: 'device_out_of_memory', attempt: 1, at: NOON },
        ],
        resumedFromStep: 3,
      });

      const { recorded, events } = await harness.store.completeIfClaimed(held, record, result, NOON + 3 * SECOND);

      expect(recorded).toBe(true);
      expect(events.map(label)).toEqual(['artifact 0', 'artifact 1', 'state succeeded 1', 'final']);
      expect(events).toEqual(await harness.store.eventsAfter(id, 2));
      expect(await mustGet(id)).toMatchObject({
        state: 'succeeded',
        finishedAt: NOON + 3 * SECOND,
        failure: null,
        ...result,
        attempts: [{ ...record, number: 1, startedAt: NOON }],
      });
    });

    it('completes a job whose cancel came too late', async () => {
      const { id, claim: held } = await inState.running();
      await harness.store.requestCancel(id, NOON);

      expect((await complete(held)).recorded).toBe(true);
      expect((await mustGet(id)).state).toBe('succeeded');
    });

    it.each(['failed', 'cancelled', 'expired'] as const)('ends a job as %s', async (state) => {
      const { id, claim: held } = await inState.running();
      const cause = state === 'cancelled' ? null : LOST;

      const { recorded, events } = await harness.store.endIfClaimed(
        held,
        attemptRecord({ outcome: state, failure: cause }),
        { state, failure: cause },
        NOON + SECOND,
      );

      expect(recorded).toBe(true);
      expect(events.map(label)).toEqual([`state ${state} 1`, 'final']);
      expect(await mustGet(id)).toMatchObject({
        state,
        finishedAt: NOON + SECOND,
        failure: cause,
        attempts: [{ outcome: state, failure: cause }],
      });
    });

    it('schedules a retry with its failure, and clears both when it runs again', async () => {
      const { id, claim: held } = await inState.running();
      await harness.store.recordProgressIfClaimed(held, progress(), [], NOON);

      const { recorded, events } = await retry(held, NOON + 5 * SECOND);

      expect(recorded).toBe(true);
      expect(events.map(label)).toEqual(['state scheduled 1']);
      expect(await mustGet(id)).toMatchObject({
        state: 'scheduled',
        runAt: NOON + 5 * SECOND,
        failure: LOST,
        progress: null,
        finishedAt: null,
        attempts: [{ number: 1, outcome: 'failed', failure: LOST }],
      });

      await harness.store.promoteDue(NOON + 5 * SECOND);
      const again = await harness.store.claimNext(warm(['shapes'], 0), CLAIMER, NOON + 9 * SECOND);
      expect(again?.claim.attempt).toBe(2);
      expect(again?.claim.token).toBeGreaterThan(held.token);
      expect(again?.job).toMatchObject({
        state: 'running',
        startedAt: NOON,
        failure: null,
        runAt: null,
        attempts: [
          { number: 1, startedAt: NOON, outcome: 'failed' },
          { number: 2, startedAt: NOON + 9 * SECOND, outcome: 'running' },
        ],
      });
    });

    it('keeps the place of a retry in the order', async () => {
      const [first, second] = await submit(newJob(), newJob({ createdAt: NOON + 1 }));
      await retry((await claim()).claim, NOON + MINUTE);
      await submit(newJob({ createdAt: NOON + 2 }));
      await harness.store.promoteDue(NOON + MINUTE);

      expect((await claimOrder()).slice(0, 2)).toEqual([first!.id, second!.id]);
    });

    it('returns a job unharmed, at its place, at no cost', async () => {
      const [first] = await submit(newJob(), newJob({ createdAt: NOON + 1 }));
      const { claim: held } = await claim();

      const { recorded, events } = await giveBack(held);

      expect(recorded).toBe(true);
      expect(events.map(label)).toEqual(['state queued 1']);
      const job = await mustGet(first!.id);
      expect(job).toMatchObject({
        state: 'queued',
        failure: null,
        progress: null,
        attempts: [{ outcome: 'returned' }],
      });
      expect(spentAttempts(job.attempts, { kind: 'internal', phase: null })).toBe(0);
      expect((await claim()).claim).toMatchObject({ jobId: first!.id, attempt: 2 });
    });

    it.each([
      ['retry', retry],
      ['return', giveBack],
    ] as const)('cancels at a %s when a cancel is pending', async (_, write) => {
      const { id, claim: held } = await inState.running();
      await harness.store.requestCancel(id, NOON);

      const { recorded, events } = await write(held);

      expect(recorded).toBe(true);
      expect(events.map(label)).toEqual(['state cancelled 1', 'final']);
      expect(await mustGet(id)).toMatchObject({ state: 'cancelled', finishedAt: NOON, runAt: null, failure: null });
      expect(await claimOrder()).toEqual([]);
    });

    it('does not erase what was noted while the attempt ran', async () => {
      const { id, claim: held } = await inState.running();
      await harness.store.recordProgressIfClaimed(held, progress(), [], NOON);

      await harness.store.endIfClaimed(
        held,
        attemptRecord({ outcome: 'failed', worker: null, device: null, phase: null, step: 0, finishedAt: null }),
        { state: 'failed', failure: LOST },
        NOON + SECOND,
      );

      expect((await mustGet(id)).attempts).toMatchObject([
        { worker: 'cpu-0', device: 'cpu:0', phase: 'denoise', step: 7, finishedAt: NOON + SECOND },
      ]);
    });
  });

  describe('fencing', () => {
    it.each(Object.entries(guarded))('%s writes under a claim that holds', async (_, write) => {
      const { claim: held } = await inState.running();

      expect(await write(held)).toBe(true);
    });

    it.each(Object.entries(guarded))('%s writes nothing once another has claimed the job', async (_, write) => {
      const { id, claim: lost } = await inState.running();
      await giveBack(lost);
      await claim();
      const before = await everythingOf(id);

      expect(await write(lost)).toBe(false);
      expect(await everythingOf(id)).toEqual(before);
    });

    it.each(Object.entries(guarded))('%s writes nothing under a claim that never was', async (_, write) => {
      const { id, claim: held } = await inState.running();
      const before = await everythingOf(id);

      expect(await write({ ...held, token: held.token + 1 })).toBe(false);
      expect(await write({ ...held, attempt: held.attempt + 1 })).toBe(false);
      expect(await write({ ...held, jobId: newJob().id })).toBe(false);
      expect(await everythingOf(id)).toEqual(before);
    });

    it.each(NOT_RUNNING)('nothing can be recorded on a job that is %s', async (state) => {
      const { id, claim: last } = await inState[state]();
      const before = await everythingOf(id);

      for (const [method, write] of Object.entries(guarded))
        expect([method, await write(last)]).toEqual([method, false]);
      expect(await everythingOf(id)).toEqual(before);
    });

    it('records one outcome when several are reported at once', async () => {
      const { id, claim: held } = await inState.running();

      const results = await Promise.all([
        complete(held),
        end(held, 'failed'),
        retry(held),
        giveBack(held),
        complete(held),
      ]);

      expect(results.filter(({ recorded }) => recorded)).toHaveLength(1);
      expect((await storedEvents(id)).filter((each) => each === 'final')).toHaveLength(1);
    });
  });
}
