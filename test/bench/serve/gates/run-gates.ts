import type { FullLoadFigures, LivenessFigures } from './full-load.js';
import { measureBusiestServer, measureFullLoad } from './full-load.js';
import type { Gate } from './judge.js';
import { judgeGates } from './judge.js';
import type { LoneJobFigures } from './lone-job.js';
import { measureLoneJob } from './lone-job.js';

export interface GatesReport {
  readonly gates: readonly Gate[];
  readonly lone: LoneJobFigures;
  readonly fullLoad: FullLoadFigures;
  /** Told only: what liveness is like where the server, not the device, is the bottleneck. */
  readonly busiest: LivenessFigures;
}

/** One after the other: each has the machine for itself. */
export async function runGates(
  { quick }: { readonly quick: boolean },
  tell: (line: string) => void,
): Promise<GatesReport> {
  const lone = await measureLoneJob(quick ? 5 : 50, tell);
  const fullLoad = await measureFullLoad(quick, tell);
  const busiest = await measureBusiestServer(quick ? 2 : 20, tell);
  return { gates: judgeGates(lone, fullLoad), lone, fullLoad, busiest };
}
