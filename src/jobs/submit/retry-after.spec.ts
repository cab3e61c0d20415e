import { retryAfterSeconds } from './retry-after.js';

describe('retryAfterSeconds', () => {
  it.each([
    [1, 60, 1],
    [1, 6, 10],
    [10, 60, 10],
    [1, 0, 30],
    [991, 1, 60],
    // Another node's jobs came and went meanwhile.
    [0, 60, 1],
    [-3, 6, 1],
  ])('for %d places at %d a minute is %d', (places, finished, seconds) => {
    expect(retryAfterSeconds(places, finished)).toBe(seconds);
  });
});
