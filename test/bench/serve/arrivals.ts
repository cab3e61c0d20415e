import type { Dice } from '../support/dice.js';

/** When requests come in, whatever the server does. */
export type Arrivals =
  /** `size` at the same moment, the next so many when `ratePerSecond` says so; null: all of them at once. */
  | { readonly pattern: 'burst'; readonly size: number; readonly ratePerSecond: number | null }
  /** Independent of each other, so many a second on average. */
  | { readonly pattern: 'poisson'; readonly ratePerSecond: number };

/** Milliseconds after the start at which each request is due, in order. */
export function arrivalTimes(arrivals: Arrivals, requests: number, dice: Dice): readonly number[] {
  if (arrivals.pattern === 'burst') {
    const { size, ratePerSecond } = arrivals;
    const everyMs = ratePerSecond === null ? 0 : (size / ratePerSecond) * 1000;
    return Array.from({ length: requests }, (_, index) => Math.floor(index / size) * everyMs);
  }
  const meanGapMs = 1000 / arrivals.ratePerSecond;
  let at = 0;
  return Array.from({ length: requests }, (_, index) => {
    // Gaps of a Poisson process are exponentially distributed; the first request opens it.
    if (index > 0) at += -Math.log(1 - dice.next()) * meanGapMs;
    return at;
  });
}

/** Requests a second the pattern offers; null: it has no pace. */
export function offeredPerSecond({ ratePerSecond }: Arrivals): number | null {
  return ratePerSecond;
}
