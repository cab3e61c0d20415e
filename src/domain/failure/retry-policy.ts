/** How long a failed attempt waits before the next, in milliseconds. */
export interface Backoff {
  /** Upper bound of the first wait. */
  readonly baseMs: number;
  /** Upper bound of every wait. */
  readonly capMs: number;
}

/**
 * Exponential backoff with full jitter: uniform in 0 … min(cap, base·2^failures), so that what failed together does not
 * come back together. `random` is in [0, 1).
 *
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function backoffMs(policy: Backoff, failures: number, random: number): number {
  // 2^30 exceeds any cap in use; the bound keeps the product finite.
  const ceiling = Math.min(policy.capMs, policy.baseMs * 2 ** Math.min(failures, 30));
  return Math.round(random * ceiling);
}
