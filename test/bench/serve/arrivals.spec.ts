import { diceOf } from '../support/dice.js';
import { arrivalTimes } from './arrivals.js';

describe('arrivals', () => {
  it('come all at once in a burst without a rate', () => {
    expect(arrivalTimes({ pattern: 'burst', size: 3, ratePerSecond: null }, 3, diceOf(1))).toEqual([0, 0, 0]);
  });

  it('come in bursts that keep the rate', () => {
    const times = arrivalTimes({ pattern: 'burst', size: 2, ratePerSecond: 4 }, 5, diceOf(1));
    expect(times).toEqual([0, 0, 500, 500, 1000]);
  });

  it('are repeated by their seed, and by no other', () => {
    const poisson = { pattern: 'poisson', ratePerSecond: 10 } as const;
    const times = arrivalTimes(poisson, 50, diceOf(7));
    expect(arrivalTimes(poisson, 50, diceOf(7))).toEqual(times);
    expect(arrivalTimes(poisson, 50, diceOf(8))).not.toEqual(times);
  });

  it('have gaps with the mean and the spread of a Poisson process', () => {
    const times = arrivalTimes({ pattern: 'poisson', ratePerSecond: 10 }, 20_001, diceOf(7));
    const gaps = times.slice(1).map((time, index) => time - times[index]!);
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
    expect(gaps.every((gap) => gap >= 0)).toBe(true);
    expect(Math.abs(mean - 100)).toBeLessThan(2);
    // The standard deviation of an exponential distribution is its mean: an even pace would have none.
    expect(deviation / mean).toBeCloseTo(1, 1);
  });
});
