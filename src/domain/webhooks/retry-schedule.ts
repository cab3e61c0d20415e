const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/**
 * Pauses before the second and each further try, in milliseconds: over three days in all, as Standard Webhooks proposes.
 *
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#deliverability-and-reliability
 */
const PAUSES_MS = [
  5000,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
  20 * HOUR_MS,
  24 * HOUR_MS,
] as const;

/** Share of a pause that chance may add, so that what failed together does not come back together. */
const JITTER = 0.1;

/**
 * Milliseconds to wait after a failed try; null: that was the last one.
 *
 * @param tries tries so far, the failed one included
 * @param askedMs what the receiver asked for (`Retry-After`); null: nothing
 * @param random in [0, 1)
 */
export function pauseAfterTry(tries: number, askedMs: number | null, random: number): number | null {
  const pause = PAUSES_MS[tries - 1];
  if (pause === undefined) return null;
  const longest = PAUSES_MS[PAUSES_MS.length - 1] as number;
  return Math.round(Math.max(pause, Math.min(askedMs ?? 0, longest)) * (1 + JITTER * random));
}
