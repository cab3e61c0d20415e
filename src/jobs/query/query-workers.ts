import { Injectable } from '@nestjs/common';

import type { WorkerDescription } from '../../domain/placement/worker-description.js';
import { Clock } from '../ports/clock.port.js';
import { JobStore } from '../ports/job-store.port.js';
import { NodeIdentity } from '../ports/node-identity.js';
import { NodeStore } from '../ports/node-store.port.js';
import { WorkerInventory } from '../ports/worker-inventory.port.js';

/** Reads the workers that work on the jobs of the store: our own as they are, those of other nodes as they last told. */
@Injectable()
export class QueryWorkers {
  constructor(
    private readonly store: JobStore,
    private readonly inventory: WorkerInventory,
    private readonly nodes: NodeStore,
    private readonly node: NodeIdentity,
    private readonly clock: Clock,
  ) {}

  async list(): Promise<readonly WorkerDescription[]> {
    const own = this.inventory.list();
    if (!this.store.isShared) return own;
    const nodes = await this.nodes.list(this.clock.now());
    return [...own, ...nodes.filter(({ id }) => id !== this.node.id).flatMap(({ workers }) => workers)];
  }
}
