import { retryAfterSeconds } from './retry-after.js';

describe('retryAfterSeconds', () => {
  it.each([
    [1000, 1000, 60, 1],
    [1000, 1000, 6, 10],
    [1009, 1000, 60, 10],
    [1000, 1000, 0, 30],
    [1000, 10, 1, 60],
  ])('for %d waiting of %d at %d a minute is %d', (waiting, limit, finished, seconds) => {
    expect(retryAfterSeconds(waiting, limit, finished)).toBe(seconds);
  });
});
