import { failure } from '../../src/domain/failure/failure.js';
import type { Job } from '../../src/domain/job/job.js';
import type { JobEvent } from '../../src/domain/job/job-event.js';
import { isFinal, JOB_STATES, type JobState } from '../../src/domain/job/job-state.js';
import {
  type Claim,
  type ClaimedJob,
  countedAttempts,
  type JobStore,
  type NewJob,
  StoreUnavailableError,
} from '../../src/jobs/ports/job-store.port.js';
import { artifact, attemptRecord, newJob, NOON, progress } from '../support/jobs.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const ROOMY = { maxWaiting: 1_000_000 };
const LOST = failure('worker_lost', 'The worker died.', { phase: 'denoise', step: 7 });
const NOT_FINAL = JOB_STATES.filter((state) => !isFinal(state));
const NOT_RUNNING = JOB_STATES.filter((state) => state !== 'running');

/** What every job store must do. It knows the port alone, so each engine runs the same suite. */
export function describeJobStore(name: string, makeStore: () => Promise<JobStore>): void {
  describe(`${name} as a job store`, () => {
    let store: JobStore;

    beforeEach(async () => {
      store = await makeStore();
    });
    afterEach(() => store.close());

    async function submit(...jobs: NewJob[]): Promise<readonly Job[]> {
      const result = await store.insert(jobs, ROOMY, null);
      if (result.outcome !== 'inserted') throw new Error(`expected the jobs to be inserted, not ${result.outcome}`);
      return result.jobs;
    }

    async function submitOne(changes: Parameters<typeof newJob>[0] = {}): Promise<Job> {
      return (await submit(newJob(changes)))[0]!;
    }

    async function claim(...models: string[]): Promise<ClaimedJob> {
      const claimed = await store.claimNext(warm(models.length === 0 ? ['shapes'] : models, 0), NOON);
      if (claimed === null) throw new Error('expected a job to claim');
      return claimed;
    }

    /** Ids in the order they are claimed. */
    async function claimOrder(models = warm(['shapes'], 0)): Promise<string[]> {
      const ids: string[] = [];
      for (let next = await store.claimNext(models, NOON); next !== null; next = await store.claimNext(models, NOON)) {
        ids.push(next.job.id);
      }
      return ids;
    }

    async function mustGet(id: string): Promise<Job> {
      const job = await store.get(id);
      if (job === null) throw new Error(`expected job ${id} to exist`);
      return job;
    }

    /** All that is stored of a job, to tell that nothing was written. */
    async function everythingOf(id: string): Promise<unknown> {
      return { job: await store.get(id), events: await store.eventsAfter(id, 0) };
    }

    async function storedEvents(id: string): Promise<string[]> {
      return (await store.eventsAfter(id, 0)).map(label);
    }

    const end = (held: Claim, state: 'failed' | 'cancelled' | 'expired') =>
      store.endIfClaimed(
        held,
        attemptRecord({ outcome: state }),
        { state, failure: state === 'failed' ? LOST : null },
        NOON,
      );
    const complete = (held: Claim) =>
      store.completeIfClaimed(held, attemptRecord(), { artifacts: [artifact()], effective: { steps: 20 } }, NOON);
    const retry = (held: Claim, runAt = NOON + SECOND) =>
      store.retryIfClaimed(held, attemptRecord({ outcome: 'failed', failure: LOST }), { runAt, failure: LOST }, NOON);
    // The store alone decides that such an attempt is `returned`.
    const giveBack = (held: Claim) => store.returnIfClaimed(held, attemptRecord({ outcome: 'failed' }), NOON);

    /** A job in each state, with the claim that was last held on it (a made-up one when there was none). */
    const inState: Record<JobState, () => Promise<{ id: string; claim: Claim }>> = {
      queued: async () => madeUpClaim(await submitOne()),
      scheduled: async () => madeUpClaim(await submitOne({ runAt: NOON + MINUTE })),
      running: async () => {
        await submitOne();
        const held = await claim();
        return { id: held.job.id, claim: held.claim };
      },
      succeeded: () => runningThen(complete),
      failed: () => runningThen((held) => end(held, 'failed')),
      cancelled: () => runningThen((held) => end(held, 'cancelled')),
      expired: () => runningThen((held) => end(held, 'expired')),
    };

    async function runningThen(write: (held: Claim) => Promise<unknown>): Promise<{ id: string; claim: Claim }> {
      const running = await inState.running();
      await write(running.claim);
      return running;
    }

    /** Every write that needs a claim; each tells whether it wrote. */
    const guarded: Record<string, (held: Claim) => Promise<boolean>> = {
      recordPlacementIfClaimed: (held) =>
        store.recordPlacementIfClaimed(held, { worker: 'cuda:0#9', device: 'cuda:0' }),
      recordProgressIfClaimed: async (held) =>
        (await store.recordProgressIfClaimed(held, progress(), [{ type: 'progress', progress: progress() }], NOON))
          .recorded,
      completeIfClaimed: async (held) => (await complete(held)).recorded,
      endIfClaimed: async (held) => (await end(held, 'failed')).recorded,
      retryIfClaimed: async (held) => (await retry(held)).recorded,
      returnIfClaimed: async (held) => (await giveBack(held)).recorded,
    };

    describe('insert', () => {
      it('stores a job as it was submitted and tells its first event', async () => {
        const submitted = newJob({
          request: { prompt: 'ein „Fuchs“ 🦊\u0000', metadata: { album: "Robert'); DROP TABLE job;--" } },
        });

        const result = await store.insert([submitted], ROOMY, null);

        const job: Job = {
          id: submitted.id,
          state: 'queued',
          request: submitted.request,
          createdAt: NOON,
          startedAt: null,
          finishedAt: null,
          runAt: null,
          cancelRequestedAt: null,
          progress: null,
          attempts: [],
          artifacts: [],
          effective: null,
          failure: null,
        };
        const event: JobEvent = {
          jobId: job.id,
          seq: 1,
          at: NOON,
          body: { type: 'state', state: 'queued', attempt: 0 },
        };
        expect(result).toEqual({ outcome: 'inserted', jobs: [job], events: [event] });
        expect(await store.get(job.id)).toEqual(job);
        expect(await store.eventsAfter(job.id, 0)).toEqual([event]);
      });

      it('schedules a job that may not begin yet', async () => {
        const job = await submitOne({ runAt: NOON + MINUTE });

        expect(await store.get(job.id)).toMatchObject({ state: 'scheduled', runAt: NOON + MINUTE });
        expect(await storedEvents(job.id)).toEqual(['state scheduled 0']);
      });

      it('inserts a batch in the order given', async () => {
        const batch = [newJob(), newJob(), newJob()];

        const jobs = await submit(...batch);

        expect(jobs.map(({ id }) => id)).toEqual(batch.map(({ id }) => id));
        expect(await claimOrder()).toEqual(batch.map(({ id }) => id));
      });

      it('inserts nothing of a batch when one of its jobs cannot be stored', async () => {
        const taken = await submitOne();
        const fresh = newJob();

        await expect(store.insert([fresh, newJob({ id: taken.id })], ROOMY, null)).rejects.toThrow();

        expect(await store.get(fresh.id)).toBeNull();
        expect(await store.eventsAfter(fresh.id, 0)).toEqual([]);
        expect((await store.countByState()).queued).toBe(1);
      });
    });

    describe('the bound on waiting jobs', () => {
      it('counts scheduled and queued jobs, and not those that run or have ended', async () => {
        await inState.running();
        await inState.succeeded();
        await inState.scheduled();
        await inState.queued();

        expect(await store.insert([newJob()], { maxWaiting: 3 }, null)).toMatchObject({ outcome: 'inserted' });
        expect(await store.insert([newJob()], { maxWaiting: 3 }, null)).toEqual({ outcome: 'queue_full', waiting: 3 });
      });

      it('accepts a batch that just fits and refuses whole one that does not', async () => {
        const tooMany = [newJob(), newJob(), newJob()];

        expect(await store.insert(tooMany, { maxWaiting: 2 }, null)).toEqual({ outcome: 'queue_full', waiting: 0 });
        expect(await store.get(tooMany[0]!.id)).toBeNull();
        expect(await store.insert(tooMany, { maxWaiting: 3 }, null)).toMatchObject({ outcome: 'inserted' });
      });

      it('is exact when many submit at once', async () => {
        const results = await Promise.all(
          Array.from({ length: 60 }, () => store.insert([newJob(), newJob()], { maxWaiting: 41 }, null)),
        );

        const outcomes = results.map(({ outcome }) => outcome);
        expect(outcomes.filter((outcome) => outcome === 'inserted')).toHaveLength(20);
        expect(outcomes.filter((outcome) => outcome === 'queue_full')).toHaveLength(40);
        expect((await store.countByState()).queued).toBe(40);
      });

      it('makes room when a job is claimed', async () => {
        await submitOne();
        await claim();

        expect(await store.insert([newJob()], { maxWaiting: 1 }, null)).toMatchObject({ outcome: 'inserted' });
      });
    });

    describe('waitingModels', () => {
      it('names each model that waiting jobs name once, and none that only others name', async () => {
        expect(await store.waitingModels()).toEqual([]);
        for (const model of ['flux', 'flux', 'shapes']) await submitOne({ request: { model } });
        await submitOne({ request: { model: 'later' }, runAt: NOON + MINUTE });
        const held = await store.claimNext([{ model: 'shapes', bonusMs: 0 }], NOON);
        expect(held?.job.request.model).toBe('shapes');
        expect((await store.waitingModels()).toSorted()).toEqual(['flux', 'later']);
      });
    });

    describe('findSubmission', () => {
      it('finds what was submitted under a key, tells another body apart, and inserts nothing', async () => {
        const key = { key: 'once', requestHash: 'a'.repeat(64) };
        expect(await store.findSubmission(key)).toBeNull();
        const jobs = [newJob(), newJob()];
        await store.insert(jobs, ROOMY, key);
        const found = await store.findSubmission(key);
        expect(found).toMatchObject({ outcome: 'existing', jobs: jobs.map(({ id }) => ({ id })) });
        const other = await store.findSubmission({ ...key, requestHash: 'b'.repeat(64) });
        expect(other).toMatchObject({ outcome: 'conflict', jobId: jobs[0]!.id });
        expect((await store.countByState()).queued).toBe(2);
      });
    });

    describe('idempotency', () => {
      const key = { key: 'order-17', requestHash: 'a'.repeat(64) };

      it('answers the same key and body with the jobs of that time, as they are now', async () => {
        const batch = [newJob(), newJob()];
        await store.insert(batch, ROOMY, key);
        const held = await claim();
        await complete(held.claim);

        const again = await store.insert([newJob(), newJob()], ROOMY, key);

        expect(again).toEqual({
          outcome: 'existing',
          jobs: [await mustGet(batch[0]!.id), await mustGet(batch[1]!.id)],
        });
        expect(again).toMatchObject({ jobs: [{ state: 'succeeded', attempts: [{ number: 1 }] }, { state: 'queued' }] });
        expect(await store.list({ limit: 10 })).toHaveLength(2);
      });

      it('refuses the same key with another body', async () => {
        const first = newJob();
        await store.insert([first], ROOMY, key);

        expect(await store.insert([newJob()], ROOMY, { ...key, requestHash: 'b'.repeat(64) })).toEqual({
          outcome: 'conflict',
          jobId: first.id,
        });
        expect(await store.list({ limit: 10 })).toHaveLength(1);
      });

      it('still answers when the queue has become full', async () => {
        await store.insert([newJob()], { maxWaiting: 1 }, key);

        expect(await store.insert([newJob()], { maxWaiting: 1 }, key)).toMatchObject({ outcome: 'existing' });
      });

      it('forgets the key of a submission that was refused', async () => {
        await store.insert([newJob()], { maxWaiting: 0 }, key);

        expect(await store.insert([newJob()], ROOMY, key)).toMatchObject({ outcome: 'inserted' });
      });

      it('inserts once when the same submission arrives many times at once', async () => {
        const results = await Promise.all(Array.from({ length: 30 }, () => store.insert([newJob()], ROOMY, key)));

        expect(results.filter(({ outcome }) => outcome === 'inserted')).toHaveLength(1);
        expect(results.filter(({ outcome }) => outcome === 'existing')).toHaveLength(29);
        expect(
          new Set(results.flatMap((result) => ('jobs' in result ? result.jobs.map(({ id }) => id) : []))).size,
        ).toBe(1);
      });

      it('frees the key when its last job is purged', async () => {
        await store.insert([newJob()], ROOMY, key);
        await complete((await claim()).claim);
        await store.purge(NOON + MINUTE, 10);

        expect(await store.insert([newJob()], ROOMY, key)).toMatchObject({ outcome: 'inserted' });
      });
    });

    describe('reading', () => {
      it('knows nothing of a job that was never submitted', async () => {
        const { id } = newJob();

        expect(await store.get(id)).toBeNull();
        expect(await store.queuePosition(id)).toBeNull();
        expect(await store.eventsAfter(id, 0)).toEqual([]);
      });

      it('lists newest first, page by page', async () => {
        const jobs = await submit(...Array.from({ length: 5 }, () => newJob()));
        const newestFirst = jobs.map(({ id }) => id).toReversed();

        const first = await store.list({ limit: 2 });
        const second = await store.list({ limit: 2, beforeId: first[1]!.id });
        const third = await store.list({ limit: 2, beforeId: second[1]!.id });

        expect([...first, ...second, ...third].map(({ id }) => id)).toEqual(newestFirst);
        expect(await store.list({ limit: 2, beforeId: third[0]!.id })).toEqual([]);
      });

      it('lists jobs whole, with their attempts', async () => {
        const { id } = await runningThen(retry);

        expect(await store.list({ limit: 10 })).toEqual([await mustGet(id)]);
        expect((await store.list({ limit: 10 }))[0]?.attempts).toHaveLength(1);
      });

      it('lists by state, also by several', async () => {
        const succeeded = await inState.succeeded();
        const failed = await inState.failed();
        const queued = await inState.queued();
        const ids = async (...states: JobState[]) => (await store.list({ states, limit: 10 })).map(({ id }) => id);

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

        expect((await store.list(filter)).map(({ id }) => id)).toEqual([urgent!.id]);
        expect((await store.list({ ...filter, states: ['queued', 'running'] })).map(({ id }) => id)).toEqual([
          urgent!.id,
        ]);
        expect(await store.list({ ...filter, priority: 'high' })).toEqual([]);
      });

      it('counts every state, through all its changes', async () => {
        const none = { scheduled: 0, queued: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0, expired: 0 };
        expect(await store.countByState()).toEqual(none);

        for (const state of JOB_STATES.filter((each) => each !== 'queued')) await inState[state]();
        await inState.queued();

        expect(await store.countByState()).toEqual({
          scheduled: 1,
          queued: 1,
          running: 1,
          succeeded: 1,
          failed: 1,
          cancelled: 1,
          expired: 1,
        });
        await store.purge(NOON + MINUTE, 10);
        expect(await store.countByState()).toEqual({ ...none, scheduled: 1, queued: 1, running: 1 });
      });

      it('counts what finished since a time', async () => {
        await inState.succeeded();
        await inState.expired();
        await inState.running();

        expect(await store.countFinishedSince(NOON)).toBe(2);
        expect(await store.countFinishedSince(NOON + 1)).toBe(0);
      });

      it('tells the place of a queued job over all models, and of no other', async () => {
        const [second, third, first] = await submit(
          newJob({ request: { model: 'flux' }, createdAt: NOON + 1 }),
          newJob({ request: { model: 'shapes' }, createdAt: NOON + 2 }),
          newJob({ request: { model: 'shapes' }, createdAt: NOON }),
        );

        expect(await store.queuePosition(first!.id)).toBe(1);
        expect(await store.queuePosition(second!.id)).toBe(2);
        expect(await store.queuePosition(third!.id)).toBe(3);

        await claim();
        expect(await store.queuePosition(first!.id)).toBeNull();
        expect(await store.queuePosition(third!.id)).toBe(2);
      });

      it('reads what was asked to be written before, without waiting for the answer', async () => {
        const job = newJob();
        const [, read] = await Promise.all([store.insert([job], ROOMY, null), store.get(job.id)]);

        expect(read).toMatchObject({ id: job.id });
      });
    });

    describe('claimNext', () => {
      it('moves the job to running and opens its first attempt', async () => {
        const { id } = await submitOne();

        const claimed = await store.claimNext(warm(['shapes'], 0), NOON + 5);

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
              worker: null,
              device: null,
              phase: null,
              step: 0,
              failure: null,
              phases: [],
              degradations: [],
            },
          ],
        });
        expect(claimed?.job).toEqual(await mustGet(id));
        expect(claimed?.events).toEqual(await store.eventsAfter(id, 1));
        expect(await storedEvents(id)).toEqual(['state queued 0', 'state running 1']);
      });

      it('has nothing for a device that can run no model, or none that waits', async () => {
        await submitOne();

        expect(await store.claimNext([], NOON)).toBeNull();
        expect(await store.claimNext(warm(['flux', 'sdxl'], 30 * SECOND), NOON)).toBeNull();
      });

      it.each(JOB_STATES.filter((state) => state !== 'queued'))('does not take a job that is %s', async (state) => {
        const { id } = await inState[state]();
        const before = await everythingOf(id);

        expect(await store.claimNext(warm(['shapes'], 0), NOON)).toBeNull();
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
          ...['flux', 'shapes', 'flux', 'shapes'].map((model, i) =>
            newJob({ request: { model }, createdAt: NOON + i }),
          ),
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

        const claims = await Promise.all(Array.from({ length: 250 }, () => store.claimNext(warm(['shapes'], 0), NOON)));

        const taken = claims.filter((each) => each !== null).map(({ job }) => job.id);
        expect(taken.toSorted()).toEqual(jobs.map(({ id }) => id).toSorted());
        expect(claims.filter((each) => each === null)).toHaveLength(50);
      });
    });

    describe('recording under a claim', () => {
      it('notes where the attempt went', async () => {
        const { id, claim: held } = await inState.running();

        expect(await store.recordPlacementIfClaimed(held, { worker: 'cuda:1#3', device: 'cuda:1' })).toBe(true);
        expect((await mustGet(id)).attempts).toMatchObject([{ worker: 'cuda:1#3', device: 'cuda:1' }]);
      });

      it('stores progress and appends the events, in order', async () => {
        const { id, claim: held } = await inState.running();
        const events = [
          { type: 'phase', phase: 'denoise', attempt: 1 },
          { type: 'degradation', rung: 'vae_tiling', fidelity: 'equivalent', cause: 'device_out_of_memory' },
          { type: 'progress', progress: progress() },
        ] as const;

        const { recorded, events: told } = await store.recordProgressIfClaimed(held, progress(), events, NOON + 9);

        expect(recorded).toBe(true);
        expect(told).toEqual(events.map((body, i) => ({ jobId: id, seq: 3 + i, at: NOON + 9, body })));
        expect(told).toEqual(await store.eventsAfter(id, 2));
        expect(await mustGet(id)).toMatchObject({
          progress: progress(),
          attempts: [{ phase: 'denoise', step: 7, outcome: 'running' }],
        });
      });

      it('keeps the furthest phase and step of the attempt', async () => {
        const { id, claim: held } = await inState.running();
        const report = (phase: 'encode' | 'denoise' | 'decode', step: number) =>
          store.recordProgressIfClaimed(held, progress({ phase, step }), [], NOON);

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

        const { recorded, events } = await store.completeIfClaimed(held, record, result, NOON + 3 * SECOND);

        expect(recorded).toBe(true);
        expect(events.map(label)).toEqual(['artifact 0', 'artifact 1', 'state succeeded 1', 'final']);
        expect(events).toEqual(await store.eventsAfter(id, 2));
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
        await store.requestCancel(id, NOON);

        expect((await complete(held)).recorded).toBe(true);
        expect((await mustGet(id)).state).toBe('succeeded');
      });

      it.each(['failed', 'cancelled', 'expired'] as const)('ends a job as %s', async (state) => {
        const { id, claim: held } = await inState.running();
        const cause = state === 'cancelled' ? null : LOST;

        const { recorded, events } = await store.endIfClaimed(
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
        await store.recordProgressIfClaimed(held, progress(), [], NOON);

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

        await store.promoteDue(NOON + 5 * SECOND);
        const again = await store.claimNext(warm(['shapes'], 0), NOON + 9 * SECOND);
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
        await store.promoteDue(NOON + MINUTE);

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
        expect(countedAttempts(job.attempts)).toBe(0);
        expect((await claim()).claim).toMatchObject({ jobId: first!.id, attempt: 2 });
      });

      it.each([
        ['retry', retry],
        ['return', giveBack],
      ] as const)('cancels at a %s when a cancel is pending', async (_, write) => {
        const { id, claim: held } = await inState.running();
        await store.requestCancel(id, NOON);

        const { recorded, events } = await write(held);

        expect(recorded).toBe(true);
        expect(events.map(label)).toEqual(['state cancelled 1', 'final']);
        expect(await mustGet(id)).toMatchObject({ state: 'cancelled', finishedAt: NOON, runAt: null, failure: null });
        expect(await claimOrder()).toEqual([]);
      });

      it('does not erase what was noted while the attempt ran', async () => {
        const { id, claim: held } = await inState.running();
        await store.recordPlacementIfClaimed(held, { worker: 'cpu:0#4', device: 'cpu:0' });
        await store.recordProgressIfClaimed(held, progress(), [], NOON);

        await store.endIfClaimed(
          held,
          attemptRecord({ outcome: 'failed', worker: null, device: null, phase: null, step: 0, finishedAt: null }),
          { state: 'failed', failure: LOST },
          NOON + SECOND,
        );

        expect((await mustGet(id)).attempts).toMatchObject([
          { worker: 'cpu:0#4', device: 'cpu:0', phase: 'denoise', step: 7, finishedAt: NOON + SECOND },
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

    describe('requestCancel', () => {
      it.each(['scheduled', 'queued'] as const)('cancels a job that is %s at once', async (state) => {
        const { id } = await inState[state]();

        const { job, events } = await store.requestCancel(id, NOON + SECOND);

        expect(events.map(label)).toEqual(['state cancelled 0', 'final']);
        expect(events).toEqual(await store.eventsAfter(id, 1));
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

        const { job, events } = await store.requestCancel(id, NOON + SECOND);

        expect(events.map(label)).toEqual(['state cancelled 1', 'final']);
        expect(job).toMatchObject({ state: 'cancelled', runAt: null, failure: null, attempts: [{ failure: LOST }] });
        expect(job).toEqual(await mustGet(id));
      });

      it('notes the first request on a running job, which goes on', async () => {
        const { id, claim: held } = await inState.running();

        const { job, events } = await store.requestCancel(id, NOON + SECOND);
        await store.requestCancel(id, NOON + MINUTE);

        expect(events).toEqual([]);
        expect(job).toMatchObject({ state: 'running', cancelRequestedAt: NOON + SECOND, attempts: [{ number: 1 }] });
        expect((await mustGet(id)).cancelRequestedAt).toBe(NOON + SECOND);
        expect((await end(held, 'cancelled')).recorded).toBe(true);
      });

      it.each(JOB_STATES.filter(isFinal))('leaves a job that is %s as it is', async (state) => {
        const { id } = await inState[state]();
        const before = await everythingOf(id);

        const { job, events } = await store.requestCancel(id, NOON + SECOND);

        expect(events).toEqual([]);
        expect(job).toEqual(await mustGet(id));
        expect(await everythingOf(id)).toEqual(before);
      });

      it('says so when there is no such job', async () => {
        expect(await store.requestCancel(newJob().id, NOON)).toEqual({ job: null, events: [] });
      });

      it('either cancels or loses to a claim, never both', async () => {
        const jobs = await submit(...Array.from({ length: 50 }, () => newJob()));

        const [cancels, claims] = await Promise.all([
          Promise.all(jobs.map(({ id }) => store.requestCancel(id, NOON))),
          Promise.all(jobs.map(() => store.claimNext(warm(['shapes'], 0), NOON))),
        ]);

        const cancelled = cancels.filter(({ job }) => job?.state === 'cancelled').length;
        expect(cancelled + claims.filter((each) => each !== null).length).toBe(50);
      });
    });

    describe('what falls due', () => {
      it('promotes scheduled jobs at their time, not before', async () => {
        const { id } = await submitOne({ runAt: NOON + MINUTE });
        const later = await submitOne({ runAt: NOON + MINUTE + 1 });

        expect(await store.promoteDue(NOON + MINUTE - 1)).toEqual([]);
        const events = await store.promoteDue(NOON + MINUTE);

        expect(events).toEqual(await store.eventsAfter(id, 1));
        expect(events.map(label)).toEqual(['state queued 0']);
        expect(await mustGet(id)).toMatchObject({ state: 'queued', runAt: null });
        expect((await mustGet(later.id)).state).toBe('scheduled');
        expect(await store.promoteDue(NOON + MINUTE)).toEqual([]);
      });

      it.each([
        ['start_by', null],
        ['start_by', NOON + 9 * MINUTE],
        ['finish_by', null],
        ['finish_by', NOON + 9 * MINUTE],
      ] as const)('expires a waiting job whose %s has passed (run at %p)', async (field, runAt) => {
        const { id } = await submitOne({ runAt, request: { [field]: NOON + MINUTE } });
        const other = await submitOne();

        expect(await store.expireDue(NOON + MINUTE - 1)).toEqual([]);
        const events = await store.expireDue(NOON + MINUTE);

        expect(events).toEqual(await store.eventsAfter(id, 1));
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

        expect((await store.expireDue(NOON + MINUTE)).map(label)).toEqual(['state expired 0', 'final']);
        expect((await mustGet(id)).failure).toMatchObject({ field: 'finish_by' });
      });

      it('holds a job that has begun to its finish_by alone, and the owner to end it while it runs', async () => {
        const { id } = await submitOne({ request: { start_by: NOON + MINUTE, finish_by: NOON + 9 * MINUTE } });
        const { claim: held } = await claim();

        expect(await store.expireDue(NOON + 60 * MINUTE)).toEqual([]);
        await retry(held, NOON + 2 * MINUTE);
        expect(await store.expireDue(NOON + 2 * MINUTE)).toEqual([]);
        expect(await store.nextDueAt()).toBe(NOON + 2 * MINUTE);
        expect((await store.expireDue(NOON + 9 * MINUTE)).map(label)).toEqual(['state expired 1', 'final']);
        expect((await mustGet(id)).state).toBe('expired');
      });

      it('tells when something falls due next', async () => {
        expect(await store.nextDueAt()).toBeNull();
        await submitOne();
        expect(await store.nextDueAt()).toBeNull();

        await submitOne({ runAt: NOON + 9 * MINUTE });
        expect(await store.nextDueAt()).toBe(NOON + 9 * MINUTE);
        await submitOne({ request: { finish_by: NOON + 8 * MINUTE } });
        expect(await store.nextDueAt()).toBe(NOON + 8 * MINUTE);
        await submitOne({ runAt: NOON + 9 * MINUTE, request: { start_by: NOON + 7 * MINUTE } });
        expect(await store.nextDueAt()).toBe(NOON + 7 * MINUTE);

        await store.expireDue(NOON + 8 * MINUTE);
        expect(await store.nextDueAt()).toBe(NOON + 9 * MINUTE);
        await store.promoteDue(NOON + 9 * MINUTE);
        expect(await store.nextDueAt()).toBeNull();
      });
    });

    describe('reclaimAll', () => {
      it('puts running jobs back at their place, with the attempt failed and its claim void', async () => {
        const [first, second] = await submit(newJob(), newJob({ createdAt: NOON + 1 }));
        const { claim: lost } = await claim();
        await store.recordProgressIfClaimed(lost, progress(), [], NOON);

        const events = await store.reclaimAll(LOST, 5, NOON + MINUTE);

        expect(events.map(label)).toEqual(['state queued 1']);
        expect(events).toEqual(await store.eventsAfter(first!.id, 2));
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
        await store.reclaimAll(LOST, 2, NOON);
        expect((await mustGet(id)).state).toBe('queued');

        await claim();
        const events = await store.reclaimAll(LOST, 2, NOON + MINUTE);

        expect(events.map(label)).toEqual(['state failed 3', 'final']);
        const job = await mustGet(id);
        expect(job).toMatchObject({ state: 'failed', failure: LOST, finishedAt: NOON + MINUTE });
        expect(job.attempts.map(({ outcome }) => outcome)).toEqual(['returned', 'failed', 'failed']);
      });

      it('cancels a job whose cancel is pending, though it has spent its attempts', async () => {
        const { id } = await inState.running();
        await store.requestCancel(id, NOON);

        expect((await store.reclaimAll(LOST, 1, NOON)).map(label)).toEqual(['state cancelled 1', 'final']);
        expect(await mustGet(id)).toMatchObject({ state: 'cancelled', failure: null });
      });

      it.each(NOT_RUNNING)('leaves a job that is %s alone', async (state) => {
        const { id } = await inState[state]();
        const before = await everythingOf(id);

        expect(await store.reclaimAll(LOST, 5, NOON)).toEqual([]);
        expect(await everythingOf(id)).toEqual(before);
      });
    });

    describe('purge', () => {
      it('deletes final jobs with all that hangs on them', async () => {
        const old = await inState.succeeded();
        const kept = await runningThen((held) =>
          store.endIfClaimed(held, attemptRecord(), { state: 'failed', failure: LOST }, NOON + 1),
        );

        expect(await store.purge(NOON + 1, 10)).toEqual([old.id]);
        expect(await store.get(old.id)).toBeNull();
        expect(await store.eventsAfter(old.id, 0)).toEqual([]);
        expect(await store.get(kept.id)).not.toBeNull();
      });

      it('deletes no more than asked, the oldest first', async () => {
        const first = await inState.succeeded();
        const second = await inState.failed();
        const third = await runningThen((held) =>
          store.endIfClaimed(held, attemptRecord(), { state: 'failed', failure: LOST }, NOON - 1),
        );

        expect(await store.purge(NOON + 1, 1)).toEqual([third.id]);
        expect((await store.purge(NOON + 1, 9)).toSorted()).toEqual([first.id, second.id].toSorted());
        expect(await store.purge(NOON + 1, 9)).toEqual([]);
      });

      it.each(NOT_FINAL)('keeps a job that is %s', async (state) => {
        const { id } = await inState[state]();

        expect(await store.purge(NOON + 60 * MINUTE, 10)).toEqual([]);
        expect(await store.get(id)).not.toBeNull();
      });
    });

    describe('events', () => {
      it('replays from a number', async () => {
        const { id } = await inState.succeeded();

        expect((await store.eventsAfter(id, 2)).map(label)).toEqual(['artifact 0', 'state succeeded 1', 'final']);
        expect(await store.eventsAfter(id, 5)).toEqual([]);
      });

      it('are numbered per job without gaps, and told as stored, when many write at once', async () => {
        await submit(newJob(), newJob(), newJob());
        const held = [await claim(), await claim(), await claim()];

        const told = await Promise.all(
          Array.from({ length: 60 }, (_, i) => {
            const report = progress({ step: i });
            return store.recordProgressIfClaimed(
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
          const stored = await store.eventsAfter(job.id, 0);
          expect(stored.map(({ seq }) => seq)).toEqual(Array.from({ length: 42 }, (_, i) => i + 1));
          const toldOfJob = told.flatMap(({ events }) => events).filter(({ jobId }) => jobId === job.id);
          expect(toldOfJob.toSorted((a, b) => a.seq - b.seq)).toEqual(stored.slice(2));
        }
      });

      it('tell the whole life of a job in order', async () => {
        const { id } = await submitOne({ runAt: NOON });
        await store.promoteDue(NOON);
        await retry((await claim()).claim, NOON);
        await store.promoteDue(NOON);
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
        const before = store.insert([newJob()], ROOMY, null);

        await Promise.all([store.close(), store.close()]);
        await store.close();

        expect(await before).toMatchObject({ outcome: 'inserted' });
        await expect(store.insert([newJob()], ROOMY, null)).rejects.toThrow(StoreUnavailableError);
      });
    });
  });
}

function warm(models: readonly string[], bonusMs: number): { model: string; bonusMs: number }[] {
  return models.map((model) => ({ model, bonusMs }));
}

function madeUpClaim({ id }: Job): { id: string; claim: Claim } {
  return { id, claim: { jobId: id, attempt: 1, token: 1 } };
}

/** An event in a word or three. */
function label({ body }: JobEvent): string {
  switch (body.type) {
    case 'state':
      return `state ${body.state} ${body.attempt}`;
    case 'artifact':
      return `artifact ${body.index}`;
    default:
      return body.type;
  }
}
