import { Injectable } from '@nestjs/common';

import { Clock } from '../jobs/ports/clock.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import { NodeIdentity } from '../jobs/ports/node-identity.js';
import { NodeStore } from '../jobs/ports/node-store.port.js';
import { WorkerInventory } from '../jobs/ports/worker-inventory.port.js';
import type { WorkerState } from '../domain/placement/worker-state.js';
import { takesAttempts } from '../domain/placement/worker-state.js';

/** The workers a job could go to, on this node and on those that share its store. */
@Injectable()
export class OtherWorkers {
  constructor(
    private readonly inventory: WorkerInventory,
    private readonly nodes: NodeStore,
    private readonly store: JobStore,
    private readonly node: NodeIdentity,
    private readonly clock: Clock,
  ) {}

  /** How many take attempts besides these, all as `<node name>/<worker id>`, or are about to. */
  async countBesides(besides: readonly string[]): Promise<number> {
    const all = await this.all();
    return [...all].filter((worker) => !besides.includes(worker)).length;
  }

  private async all(): Promise<ReadonlySet<string>> {
    const here = this.inventory.list().filter(({ state }) => isThere(state));
    const found = new Set(here.map(({ id }) => `${this.node.name}/${id}`));
    if (!this.store.isShared) return found;
    for (const { name, state, workers } of await this.nodes.list(this.clock.now())) {
      if (state !== 'serving' || name === this.node.name) continue;
      for (const worker of workers) {
        if (isThere(worker.state)) found.add(`${name}/${worker.id}`);
      }
    }
    return found;
  }
}

/** One that is defunct may be so for good. */
function isThere(state: WorkerState): boolean {
  return takesAttempts(state) || state === 'starting';
}
