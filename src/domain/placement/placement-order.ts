/** What placement looks at in a device that could take an attempt. */
export interface Candidate {
  readonly deviceId: string;
  /** Permits left. */
  readonly free: number;
}

/** Devices with room, the emptiest first, so that load spreads; equal ones in their order. */
export function placementOrder<T extends Candidate>(candidates: readonly T[]): T[] {
  return candidates.filter(({ free }) => free > 0).toSorted((a, b) => b.free - a.free);
}
