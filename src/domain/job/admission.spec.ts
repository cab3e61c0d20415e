import type { AdmissionFacts } from './admission.js';
import { admit } from './admission.js';

const NOW = 1_000_000;
const facts = (changes: Partial<AdmissionFacts>): AdmissionFacts => ({
  ahead: 0,
  finishedLastMinute: 60,
  expectedMs: null,
  startBy: null,
  finishBy: null,
  now: NOW,
  ...changes,
});

describe('admit', () => {
  it.each<[string, Partial<AdmissionFacts>]>([
    ['without deadlines, however many wait', { ahead: 10_000 }],
    ['when its turn comes exactly in time', { ahead: 10, startBy: NOW + 10_000 }],
    ['when it ends exactly in time', { ahead: 10, expectedMs: 5_000, finishBy: NOW + 15_000 }],
    ['when no rate is known', { ahead: 10_000, finishedLastMinute: 0, startBy: NOW + 1 }],
  ])('takes a job %s', (_, given) => expect(admit(facts(given))).toEqual({ ok: true }));

  it.each<[string, Partial<AdmissionFacts>, string, number, number]>([
    ['begin', { ahead: 10, startBy: NOW + 9_999 }, 'start_by', NOW + 10_000, 1],
    ['end', { ahead: 10, expectedMs: 5_000, finishBy: NOW + 12_000 }, 'finish_by', NOW + 15_000, 3],
    ['end, for it takes too long by itself', { expectedMs: 5_000, finishBy: NOW + 1 }, 'finish_by', NOW + 5_000, 5],
    ['begin for long', { ahead: 10_000, startBy: NOW + 1 }, 'start_by', NOW + 10_000_000, 60],
  ])('refuses one that could not %s in time', (_, given, field, expectedAt, retryAfterSeconds) => {
    expect(admit(facts(given))).toEqual({ ok: false, field, expectedAt, retryAfterSeconds });
  });

  it('names the deadline that comes first', () => {
    const refusal = admit(facts({ ahead: 10, startBy: NOW + 1, finishBy: NOW + 2 }));
    expect(refusal).toMatchObject({ ok: false, field: 'start_by' });
  });
});
