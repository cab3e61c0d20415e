import type { WorkerDescription } from '../../domain/placement/worker-description.js';

/** The workers of this node, to look at. */
export abstract class WorkerInventory {
  abstract list(): readonly WorkerDescription[];
}
