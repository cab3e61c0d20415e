import type { Dice } from '../support/dice.js';
import type { Cluster } from './cluster.js';

/** What the storm does to the system. The first five are thrown at processes and disks, the rest are ways of clients. */
export const FAULT_NAMES = [
  'kill_worker',
  'stop_worker',
  'kill_node',
  'cut_database',
  'full_disk',
  'out_of_memory',
  'hang_up',
  'cancel',
  'duplicate',
] as const;
export type FaultName = (typeof FAULT_NAMES)[number];

/** A fault that was thrown. */
export interface ThrownFault {
  readonly name: FaultName;
  /** Epoch milliseconds. */
  readonly at: number;
  /** The node it was thrown at; null: all of them. */
  readonly node: string | null;
  /** What it amounted to, for the report. */
  readonly what: string;
}

/** A fault that is thrown at a moment of the schedule. */
export interface Fault {
  readonly name: FaultName;
  /** Why it cannot be thrown here; null: it can. */
  impossible(cluster: Cluster): string | null;
  /** Resolves when it has been thrown and what has to be undone is undone; null: there was nothing to throw it at. */
  throwAt(cluster: Cluster, dice: Dice, signal: AbortSignal): Promise<Omit<ThrownFault, 'name' | 'at'> | null>;
}
