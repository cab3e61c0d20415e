import { LADDER } from '../degradation/ladder.js';
import type { Attempt } from '../job/job.js';
import type { Decision, FailedAttempt, WaysOut } from './decide-next.js';
import { decideNext, killsIn, spentAttempts } from './decide-next.js';
import type { FailureKind } from './failure-kind.js';
import { FAILURE_KINDS, REACTIONS } from './failure-kind.js';
import type { Failure } from './failure.js';
import { failure } from './failure.js';

const BACKOFF = { baseMs: 1000, capMs: 8000 };
const TILING = LADDER.find(({ name }) => name === 'vae_tiling')!;
const LOWER = LADDER.find(({ name }) => name === 'lower_resolution')!;
const NO_WAY: WaysOut = { rung: null, otherWorkers: 0 };
const FAILED: Decision = { action: 'end', state: 'failed' };

function decide(
  why: FailureKind | Failure,
  { ways = NO_WAY, random = 0.5, ...facts }: Partial<FailedAttempt> & { ways?: WaysOut; random?: number } = {},
): Decision {
  const attempt = {
    failure: typeof why === 'string' ? failure(why, 'why', { phase: 'denoise' }) : why,
    countedAttempts: 1,
    kills: 0,
    wasSolo: false,
    besideOtherModels: false,
    cancelRequested: false,
    msToDeadline: null,
    ...facts,
  };
  return decideNext(attempt, ways, BACKOFF, random);
}

const retryAfter = (delayMs: number, solo = false): Decision => ({
  action: 'retry',
  delayMs,
  solo,
  keepCheckpoint: true,
});

describe('decideNext', () => {
  const first: readonly [FailureKind, Decision][] = [
    ['device_out_of_memory', retryAfter(500)],
    ['device_fatal', retryAfter(500)],
    ['worker_lost', retryAfter(500)],
    ['worker_hung', retryAfter(500)],
    ['worker_stopping', { action: 'return' }],
    ['model_unavailable', retryAfter(500)],
    ['invalid_request', FAILED],
    ['rejected_output', retryAfter(500)],
    ['cancelled', { action: 'end', state: 'cancelled' }],
    ['deadline_exceeded', { action: 'end', state: 'expired' }],
    ['internal', retryAfter(500)],
  ];

  it.each(first)('answers a first %s with %j', (kind, decision) => {
    expect(decide(kind)).toEqual(decision);
  });

  it('has an answer for every kind of failure', () => {
    expect(first.map(([kind]) => kind).toSorted()).toEqual([...FAILURE_KINDS].toSorted());
  });

  it.each(FAILURE_KINDS.filter((kind) => Number.isFinite(REACTIONS[kind].maxAttempts)))(
    'ends after the attempts a %s is worth',
    (kind) => {
      expect(decide(kind, { countedAttempts: REACTIONS[kind].maxAttempts }).action).toBe('end');
    },
  );

  it('gives back what a stopping worker had, however often', () => {
    expect(decide('worker_stopping', { countedAttempts: 1000 })).toEqual({ action: 'return' });
  });

  it.each(FAILURE_KINDS)('cancels after a %s when a cancel is pending', (kind) => {
    const ways = { rung: TILING, otherWorkers: 1 };
    expect(decide(kind, { cancelRequested: true, ways })).toEqual({ action: 'end', state: 'cancelled' });
  });

  it('waits longer with every attempt, by chance, and at most the cap', () => {
    expect(decide('internal', { countedAttempts: 2, random: 0.5 })).toEqual(retryAfter(1000));
    expect(decide('worker_lost', { countedAttempts: 4, random: 0.999 })).toEqual(retryAfter(7992));
    expect(decide('internal', { random: 0 })).toEqual(retryAfter(0));
  });

  it('expires a job whose next attempt could not begin before its deadline', () => {
    expect(decide('internal', { msToDeadline: 500 })).toEqual({ action: 'end', state: 'expired' });
    expect(decide('internal', { msToDeadline: 501 })).toEqual(retryAfter(500));
  });

  describe('out of memory', () => {
    it('is tried again alone before it takes a rung for what another model took', () => {
      const ways = { rung: TILING, otherWorkers: 1 };
      expect(decide('device_out_of_memory', { besideOtherModels: true, ways })).toEqual({
        action: 'retry',
        delayMs: 0,
        solo: true,
        keepCheckpoint: true,
      });
      expect(decide('device_out_of_memory', { besideOtherModels: true, wasSolo: true, ways }).action).toBe('degrade');
    });

    it('goes one rung lower at once, from where it was', () => {
      expect(decide('device_out_of_memory', { ways: { rung: TILING, otherWorkers: 3 } })).toEqual({
        action: 'degrade',
        rung: 'vae_tiling',
        fidelity: 'equivalent',
        keepCheckpoint: true,
      });
    });

    it('begins again where the picture gets another size', () => {
      expect(decide('device_out_of_memory', { ways: { rung: LOWER, otherWorkers: 0 } })).toMatchObject({
        action: 'degrade',
        keepCheckpoint: false,
      });
    });

    it('counts no rung as an attempt', () => {
      const ways = { rung: LOWER, otherWorkers: 0 };
      expect(decide('device_out_of_memory', { countedAttempts: 99, ways }).action).toBe('degrade');
    });

    it('goes to another worker when no rung is left, and ends when none is left either', () => {
      expect(decide('device_out_of_memory', { ways: { rung: null, otherWorkers: 1 } })).toEqual({
        action: 'relocate',
        delayMs: 0,
        keepCheckpoint: true,
      });
      expect(decide('device_out_of_memory', { countedAttempts: 5 })).toEqual(FAILED);
    });
  });

  describe('a model that is not there', () => {
    it('is looked for on another worker', () => {
      const ways = { rung: null, otherWorkers: 1 };
      expect(decide('model_unavailable', { ways })).toMatchObject({ action: 'relocate' });
      expect(decide('model_unavailable', { countedAttempts: 3, ways })).toEqual(FAILED);
    });
  });

  describe('a worker that died', () => {
    it.each(['worker_lost', 'worker_hung', 'device_fatal'] as const)(
      'has the job run alone once it was there at two deaths: %s',
      (kind) => {
        expect(decide(kind, { countedAttempts: 1, kills: 1 })).toEqual(retryAfter(500));
        expect(decide(kind, { countedAttempts: 2, kills: 2 })).toEqual(retryAfter(1000, true));
      },
    );

    it('does not end a job that was alone for another reason, and there once', () => {
      expect(decide('worker_lost', { countedAttempts: 1, kills: 1, wasSolo: true })).toEqual(retryAfter(500));
    });

    it('gives a job that had begun nothing many attempts, and not endlessly many', () => {
      const early = failure('worker_lost', 'the server ended');
      expect(decide(early, { countedAttempts: 19 }).action).toBe('retry');
      expect(decide(early, { countedAttempts: 20 })).toEqual(FAILED);
    });

    it('ends a job that kills it when alone', () => {
      expect(decide('worker_lost', { countedAttempts: 3, kills: 3, wasSolo: true })).toEqual(FAILED);
    });

    it('is not held against a job that had not begun', () => {
      const early = failure('worker_lost', 'it never came up');
      expect(decide(early, { countedAttempts: 2, kills: 2 })).toEqual(retryAfter(1000));
      expect(decide(early, { countedAttempts: 2, kills: 2, wasSolo: true })).toEqual(retryAfter(1000));
    });

    it('does not make other failures solo', () => {
      expect(decide('internal', { countedAttempts: 2, kills: 2 })).toEqual(retryAfter(1000));
    });
  });

  it('begins at the beginning when a checkpoint is refused, and rejects every other bad request', () => {
    const refused = failure('invalid_request', 'damaged', { field: 'checkpoint' });
    expect(decide(refused)).toEqual({ action: 'retry', delayMs: 0, solo: false, keepCheckpoint: false });
    expect(decide(failure('invalid_request', 'no', { field: 'width' }))).toEqual(FAILED);
  });
});

const attempt = (outcome: Attempt['outcome'], why: Failure | null) => ({ outcome, failure: why }) as Attempt;

describe('spentAttempts', () => {
  const attempts = [
    attempt('failed', failure('device_out_of_memory', '')),
    attempt('failed', failure('device_out_of_memory', '')),
    attempt('returned', null),
    attempt('failed', failure('internal', '')),
  ];

  it('leaves out what was given back, and rungs where memory is not at fault', () => {
    expect(spentAttempts(attempts, failure('internal', ''))).toBe(1);
    expect(spentAttempts(attempts, failure('device_out_of_memory', ''))).toBe(3);
  });

  it('counts what had begun nothing only among itself', () => {
    const lost = attempt('failed', failure('worker_lost', 'the server ended'));
    const defect = attempt('failed', failure('internal', ''));
    expect(spentAttempts([lost, lost, defect], failure('internal', ''))).toBe(1);
    expect(spentAttempts([lost, lost, defect], failure('worker_lost', ''))).toBe(3);
    expect(spentAttempts([lost, lost], failure('worker_lost', '', { phase: 'denoise' }))).toBe(0);
  });
});

describe('killsIn', () => {
  it('counts deaths of workers that had begun on the job', () => {
    const begun = { phase: 'denoise' as const };
    expect(
      killsIn([
        attempt('failed', failure('worker_lost', '', begun)),
        attempt('failed', failure('worker_hung', '', begun)),
        attempt('failed', failure('device_fatal', '', begun)),
        attempt('failed', failure('worker_lost', 'the server ended')),
        attempt('failed', failure('internal', '', begun)),
        attempt('returned', failure('worker_lost', '', begun)),
        attempt('succeeded', null),
      ]),
    ).toBe(3);
  });
});
