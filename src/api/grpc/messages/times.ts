import type { Duration } from '../../../gen/google/protobuf/duration.pb.js';

/** Epoch milliseconds as a time of the wire; null: absent. */
export function dateOf(at: number | null): Date | undefined {
  return at === null ? undefined : new Date(at);
}

export function durationOf(ms: number): Duration {
  const seconds = Math.trunc(ms / 1000);
  return { seconds: String(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

/** Not a whole number when the duration is not one of milliseconds. */
export function millisecondsOf({ seconds, nanos }: Duration): number {
  return Number(seconds) * 1000 + nanos / 1e6;
}
