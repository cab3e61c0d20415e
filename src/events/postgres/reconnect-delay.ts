const FIRST_MS = 100;
const LONGEST_MS = 5_000;

/**
 * Milliseconds to wait after so many failures in a row: twice as long each time, spread by half so that the nodes of a
 * restarted database do not all come at once.
 */
export function reconnectDelay(failures: number, random: number): number {
  return Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 16)) * (0.5 + random / 2);
}
