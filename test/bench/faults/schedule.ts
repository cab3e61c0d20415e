import { setTimeout as wait } from 'node:timers/promises';

import type { Dice } from '../support/dice.js';
import type { Cluster } from './cluster.js';
import type { Fault, FaultName, ThrownFault } from './fault.js';
import { cutDatabase } from './kinds/cut-database.js';
import { fullDisk } from './kinds/full-disk.js';
import { killNode } from './kinds/kill-node.js';
import { killWorker } from './kinds/kill-worker.js';
import { stopWorker } from './kinds/stop-worker.js';

const FAULTS: readonly Fault[] = [killWorker, stopWorker, killNode, cutDatabase, fullDisk];

export function possibleFaults(cluster: Cluster, names: readonly FaultName[]): readonly Fault[] {
  return FAULTS.filter((fault) => names.includes(fault.name) && fault.impossible(cluster) === null);
}

/** Faults that cannot be thrown here, with the reason. */
export function impossibleFaults(cluster: Cluster, names: readonly FaultName[]): Readonly<Record<string, string>> {
  const asked = FAULTS.filter(({ name }) => names.includes(name));
  return Object.fromEntries(
    asked.flatMap((fault) => {
      const reason = fault.impossible(cluster);
      return reason === null ? [] : [[fault.name, reason]];
    }),
  );
}

/**
 * Throws faults until told to end, one at a time, at random moments. Each kind has its turn before any has a second one, so
 * that short storms have all of them; the seed decides order, moments and targets.
 */
export async function throwFaults(
  cluster: Cluster,
  names: readonly FaultName[],
  everyMs: number,
  dice: Dice,
  signal: AbortSignal,
  onFault: (fault: ThrownFault) => void,
): Promise<void> {
  const possible = possibleFaults(cluster, names);
  let round: Fault[] = [];
  while (possible.length > 0 && !signal.aborted) {
    await wait(everyMs * (0.5 + dice.next()), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    if (round.length === 0) round = shuffled(possible, dice);
    const fault = round.pop() as Fault;
    const at = Date.now();
    const thrown = await fault.throwAt(cluster, dice, signal);
    if (thrown === null) round.unshift(fault);
    else onFault({ name: fault.name, at, ...thrown });
  }
}

function shuffled<T>(list: readonly T[], dice: Dice): T[] {
  return list
    .map((item) => ({ item, at: dice.next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
