import type { NodeDescription, NodeState } from '../../domain/placement/node-description.js';
import type { WorkerDescription } from '../../domain/placement/worker-description.js';

/** What a node tells of itself at every heartbeat. */
export interface NodeReport {
  readonly state: NodeState;
  readonly workers: readonly WorkerDescription[];
}

/** The nodes that share a store. Correctness rests on the claims of jobs; this is for looking at, and for taking over. */
export abstract class NodeStore {
  /**
   * Enters a node under its name, in the place of the one that had it. Returns the id of that one, whose jobs are the
   * caller's to take back; null: there was none. The earlier one finds out at its next {@link renew}. Of several that
   * register one name at the same moment each gets the one before it. Nodes that were silent for a day are deleted.
   */
  abstract register(
    node: { readonly id: string; readonly name: string; readonly url: string | null },
    leaseMs: number,
    now: number,
  ): Promise<string | null>;
  /** The heartbeat. False: another node has taken the name. */
  abstract renew(id: string, report: NodeReport, leaseMs: number, now: number): Promise<boolean>;
  /** Nodes whose heartbeat is not older than their lease, by name. */
  abstract list(now: number): Promise<readonly NodeDescription[]>;
  /** Takes a node out: it has stopped. */
  abstract forget(id: string): Promise<void>;
}
