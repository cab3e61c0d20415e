/** Longest a refused client is told to wait, in seconds: rates change, and asking again is cheap. */
const LONGEST_SECONDS = 60;

/**
 * Seconds until a place in a full queue is likely free, from the rate of the last minute.
 * Unknown rate: half the longest wait. Always at least 1.
 */
export function retryAfterSeconds(waiting: number, limit: number, finishedLastMinute: number): number {
  if (finishedLastMinute === 0) return LONGEST_SECONDS / 2;
  const places = waiting - limit + 1;
  return Math.min(LONGEST_SECONDS, Math.max(1, Math.ceil((places * 60) / finishedLastMinute)));
}
