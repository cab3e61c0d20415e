import type { WorkerDescription } from './worker-description.js';

/** `draining`: it takes no new work; `drained`: and has none left. */
export const NODE_STATES = ['serving', 'draining', 'drained'] as const;
export type NodeState = (typeof NODE_STATES)[number];

/** A server among those that share a store, as it last told. */
export interface NodeDescription {
  /** New at every start. */
  readonly id: string;
  readonly name: string;
  /** Where it answers; null: it does not say. */
  readonly url: string | null;
  readonly state: NodeState;
  readonly workers: readonly WorkerDescription[];
  /** Epoch milliseconds. */
  readonly startedAt: number;
  readonly seenAt: number;
}
