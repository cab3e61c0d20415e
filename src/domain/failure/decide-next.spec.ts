import type { Decision, FailedAttempt } from './decide-next.js';
import { decideNext } from './decide-next.js';
import type { FailureKind } from './failure-kind.js';
import { FAILURE_KINDS, REACTIONS } from './failure-kind.js';
import { failure } from './failure.js';

const BACKOFF = { baseMs: 1000, capMs: 8000 };

function decide(kind: FailureKind, facts: Partial<FailedAttempt> = {}, random = 0.5): Decision {
  const attempt = {
    failure: failure(kind, 'why'),
    countedAttempts: 1,
    cancelRequested: false,
    msToDeadline: null,
    ...facts,
  };
  return decideNext(attempt, BACKOFF, random);
}

describe('decideNext', () => {
  const FAILED: Decision = { action: 'end', state: 'failed' };
  const retryAfter = (delayMs: number): Decision => ({ action: 'retry', delayMs });
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

  it('has an answer for every kind there is', () => {
    expect(first.map(([kind]) => kind)).toEqual([...FAILURE_KINDS]);
  });

  it.each(FAILURE_KINDS.filter((kind) => REACTIONS[kind].maxAttempts > 1 && kind !== 'worker_stopping'))(
    'ends the job when %s has taken its last attempt, not before',
    (kind) => {
      const { maxAttempts } = REACTIONS[kind];
      expect(decide(kind, { countedAttempts: maxAttempts - 1 }).action).toBe('retry');
      expect(decide(kind, { countedAttempts: maxAttempts })).toEqual(FAILED);
    },
  );

  it('doubles the wait with each attempt up to the cap, and spreads it', () => {
    const longest = [1, 2, 3, 4].map((countedAttempts) => decide('worker_lost', { countedAttempts }, 1));
    expect(longest).toEqual([retryAfter(1000), retryAfter(2000), retryAfter(4000), retryAfter(8000)]);
    expect(decide('worker_lost', { countedAttempts: 4 }, 0)).toEqual(retryAfter(0));
  });

  it('cancels rather than repeats a job that somebody asked to cancel', () => {
    expect(decide('worker_lost', { cancelRequested: true })).toEqual({ action: 'end', state: 'cancelled' });
  });

  it('does not repeat what could only begin after its deadline', () => {
    expect(decide('worker_lost', { msToDeadline: 500 })).toEqual({ action: 'end', state: 'expired' });
    expect(decide('worker_lost', { msToDeadline: 501 })).toEqual(retryAfter(500));
  });
});
