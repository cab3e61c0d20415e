/** Longest a refused client is told to wait, in seconds: rates change, and asking again is cheap. */
const LONGEST_SECONDS = 60;

/**
 * Seconds until so many places in a full queue are likely free, from the rate of the last minute.
 * Unknown rate: half the longest wait. Always at least 1.
 */
export function retryAfterSeconds(places: number, finishedLastMinute: number): number {
  if (finishedLastMinute === 0) return LONGEST_SECONDS / 2;
  return Math.min(LONGEST_SECONDS, Math.max(1, Math.ceil((places * 60) / finishedLastMinute)));
}
