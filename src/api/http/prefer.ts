/** Longest wait a client may ask for, in seconds; proxies on the way seldom allow more. */
export const MAX_WAIT_SECONDS = 300;

/** Seconds of `Prefer: wait=N` (RFC 7240), bounded; null when none was asked for. What cannot be read is no preference. */
export function preferredWaitSeconds(header: string | undefined): number | null {
  const wait = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:$|[,;])/i.exec(header ?? '')?.[1];
  return wait === undefined ? null : Math.min(Number(wait), MAX_WAIT_SECONDS);
}
