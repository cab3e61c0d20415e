import { pauseAfterTry } from './retry-schedule.js';

const HOUR_MS = 3_600_000;

describe('pauseAfterTry', () => {
  it('begins with seconds and ends with a day', () => {
    expect([1, 2, 3, 9].map((tries) => pauseAfterTry(tries, null, 0))).toEqual([
      5000,
      300_000,
      1_800_000,
      24 * HOUR_MS,
    ]);
  });

  it('gives up after the last pause', () => {
    expect(pauseAfterTry(10, null, 0)).toBeNull();
    expect(pauseAfterTry(10, 1000, 0)).toBeNull();
  });

  it('waits as long as the receiver asks, within the longest pause', () => {
    expect(pauseAfterTry(1, 60_000, 0)).toBe(60_000);
    expect(pauseAfterTry(1, 1000, 0)).toBe(5000);
    expect(pauseAfterTry(1, 365 * 24 * HOUR_MS, 0)).toBe(24 * HOUR_MS);
  });

  it('adds at most a tenth by chance', () => {
    expect(pauseAfterTry(1, null, 0.999)).toBeLessThanOrEqual(5500);
    expect(pauseAfterTry(1, null, 0.5)).toBe(5250);
  });
});
