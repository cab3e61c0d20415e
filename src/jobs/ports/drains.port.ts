import type { NodeState } from '../../domain/placement/node-description.js';
import type { WorkerDescription } from '../../domain/placement/worker-description.js';

/** Takes work off workers and nodes without losing any. */
export abstract class Drains {
  /**
   * Gives a worker no new attempts; those in flight end, or are suspended after the drain limit and go on elsewhere; then
   * its process ends and stays away until {@link startWorker}. Returns at once; safe to call twice. Null: no such worker.
   */
  abstract drainWorker(id: string): WorkerDescription | null;
  /** Starts a worker that was drained; of any other it says how it is. Null: no such worker. */
  abstract startWorker(id: string): WorkerDescription | null;
  /** The same for all workers of this node, and it accepts no jobs. It goes on answering until it is stopped. */
  abstract drainNode(): NodeState;
  abstract nodeState(): NodeState;
}
