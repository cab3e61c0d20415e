import { LearnedPace } from './learned-pace.js';
import { StallCeilings } from './stall-ceilings.js';

const limits = (stallTimeoutMs = 120_000) => ({
  floorMs: 10_000,
  lookIntervalMs: 1000,
  ceilings: new StallCeilings({ stallTimeoutMs, startTimeoutMs: 180_000 }),
});
const STEP = 'denoise of a picture';

/** A round that was seen at an age and then ended. */
function round(pace: LearnedPace, number: number, loopAgeMs: number, kinds: readonly (string | null)[] = [STEP]): void {
  pace.see({ loopCount: number, loopAgeMs, kinds });
  pace.see({ loopCount: number + 1, loopAgeMs: 0, kinds });
}

describe('LearnedPace', () => {
  it('gives idle engines the floor and unknown work the ceiling', () => {
    const pace = new LearnedPace(limits());
    expect(pace.limitMs([])).toBe(10_000);
    expect(pace.limitMs([STEP])).toBe(120_000);
    pace.learnEnd(STEP);
    expect(pace.limitMs([STEP])).toBe(10_000);
    expect(pace.limitMs([STEP, 'decode of a picture'])).toBe(120_000);
    expect(pace.limitMs([STEP, null])).toBe(180_000);
    expect(pace.outlasted([STEP, null], 130_000)).toEqual([STEP]);
  });

  it.each([
    [0, 10_000],
    [200, 10_000],
    [2000, 24_000],
    [9000, 80_000],
    [60_000, 120_000],
  ])('after a round seen %d ms old waits %d ms', (ageMs, limitMs) => {
    const pace = new LearnedPace(limits());
    pace.learnEnd(STEP);
    round(pace, 1, ageMs);
    round(pace, 3, 10);
    expect(pace.limitMs([STEP])).toBe(limitMs);
  });

  it('learns nothing from a round that does not end', () => {
    const pace = new LearnedPace(limits());
    pace.learnEnd(STEP);
    for (let ageMs = 0; ageMs < 20_000; ageMs += 1000) pace.see({ loopCount: 7, loopAgeMs: ageMs, kinds: [STEP] });
    expect(pace.limitMs([STEP])).toBe(10_000);
  });

  it('learns each kind of work by itself', () => {
    const pace = new LearnedPace(limits());
    pace.learnEnd(STEP);
    pace.learnEnd('a larger one');
    round(pace, 1, 5000, ['a larger one']);
    expect(pace.limitMs([STEP])).toBe(10_000);
    expect(pace.limitMs(['a larger one'])).toBe(48_000);
    expect(pace.limitMs([STEP, 'a larger one'])).toBe(48_000);
  });

  it('keeps the ceiling where the floor is above it', () => {
    const pace = new LearnedPace(limits(1500));
    pace.learnEnd(STEP);
    expect([pace.limitMs([]), pace.limitMs([STEP]), pace.limitMs(['new'])]).toEqual([1500, 1500, 1500]);
  });

  it('keeps only so many kinds', () => {
    const pace = new LearnedPace(limits());
    for (let kind = 0; kind < 600; kind += 1) pace.learnEnd(`kind ${kind}`);
    expect([pace.knows('kind 1'), pace.knows('kind 599')]).toEqual([false, true]);
  });
});
