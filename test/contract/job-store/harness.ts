import type { ClaimableModel, Claim, ClaimedJob, NextTry } from '../../../src/jobs/ports/job-store.port.js';
import type { JobStore, NewJob } from '../../../src/jobs/ports/job-store.port.js';
import { failure } from '../../../src/domain/failure/failure.js';
import type { Job } from '../../../src/domain/job/job.js';
import type { JobEvent } from '../../../src/domain/job/job-event.js';
import type { JobState } from '../../../src/domain/job/job-state.js';
import type { Stores } from '../../../src/persistence/open-stores.js';
import { artifact, attemptRecord, claimer, newJob, NOON, progress } from '../../support/jobs.js';

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const ROOMY = { maxWaiting: 1_000_000 };
export const LOST = failure('worker_lost', 'The worker died.', { phase: 'denoise', step: 7 });

/** A node with one worker. */
export const CLAIMER = claimer();

/** What the tests of a store share: a fresh one for each, and ways to bring jobs into a state. */
export function storeHarness(makeStores: () => Promise<Stores>) {
  let stores: Stores;
  let store: JobStore;

  beforeEach(async () => {
    stores = await makeStores();
    store = stores.jobs;
  });
  afterEach(() => stores.close());

  async function submit(...jobs: NewJob[]): Promise<readonly Job[]> {
    const result = await store.insert(jobs, ROOMY, null);
    if (result.outcome !== 'inserted') throw new Error(`expected the jobs to be inserted, not ${result.outcome}`);
    return result.jobs;
  }

  async function submitOne(changes: Parameters<typeof newJob>[0] = {}): Promise<Job> {
    return (await submit(newJob(changes)))[0]!;
  }

  async function claim(...models: string[]): Promise<ClaimedJob> {
    const claimed = await store.claimNext(warm(models.length === 0 ? ['shapes'] : models, 0), CLAIMER, NOON);
    if (claimed === null) throw new Error('expected a job to claim');
    return claimed;
  }

  /** Ids in the order they are claimed. */
  async function claimOrder(models = warm(['shapes'], 0)): Promise<string[]> {
    const ids: string[] = [];
    for (
      let next = await store.claimNext(models, CLAIMER, NOON);
      next !== null;
      next = await store.claimNext(models, CLAIMER, NOON)
    ) {
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
    store.retryIfClaimed(held, attemptRecord({ outcome: 'failed', failure: LOST }), nextTry({ runAt }), NOON);
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
    recordProgressIfClaimed: async (held) =>
      (await store.recordProgressIfClaimed(held, progress(), [{ type: 'progress', progress: progress() }], NOON))
        .recorded,
    completeIfClaimed: async (held) => (await complete(held)).recorded,
    endIfClaimed: async (held) => (await end(held, 'failed')).recorded,
    retryIfClaimed: async (held) => (await retry(held)).recorded,
    returnIfClaimed: async (held) => (await giveBack(held)).recorded,
  };

  return {
    get stores() {
      return stores;
    },
    get store() {
      return store;
    },
    submit,
    submitOne,
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
    runningThen,
    guarded,
  };
}

export type StoreHarness = ReturnType<typeof storeHarness>;

export function warm(models: readonly string[], bonusMs: number): ClaimableModel[] {
  return models.map((model) => ({ model, bonusMs, maxPixels: null }));
}

/** How a job goes on that nothing has changed for. */
export function nextTry(changes: Partial<NextTry> = {}): NextTry {
  return { runAt: null, failure: LOST, degradations: [], solo: false, avoids: [], keepCheckpoint: true, ...changes };
}

function madeUpClaim({ id }: Job): { id: string; claim: Claim } {
  return { id, claim: { jobId: id, attempt: 1, token: 1 } };
}

/** An event in a word or three. */
export function label({ body }: JobEvent): string {
  switch (body.type) {
    case 'state':
      return `state ${body.state} ${body.attempt}`;
    case 'artifact':
      return `artifact ${body.index}`;
    default:
      return body.type;
  }
}
