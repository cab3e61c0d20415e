import { Injectable } from '@nestjs/common';

import { Clock } from '../jobs/ports/clock.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import { NodeIdentity } from '../jobs/ports/node-identity.js';
import { NodeStore } from '../jobs/ports/node-store.port.js';
import { WorkerInventory } from '../jobs/ports/worker-inventory.port.js';
import type { ModelDescription } from '../domain/generation/model-description.js';
import type { Device } from '../domain/placement/device.js';
import { isFirstChoice, isServedBy } from '../domain/placement/served-by.js';
import type { WorkerDescription } from '../domain/placement/worker-description.js';
import type { WorkerState } from '../domain/placement/worker-state.js';
import { takesAttempts } from '../domain/placement/worker-state.js';

/** A worker that takes attempts, or is about to. */
export interface PresentWorker {
  /** `<node name>/<worker id>`. */
  readonly id: string;
  readonly device: Device;
}

type Whereabouts = Pick<ModelDescription, 'isLocal' | 'comfyui'>;

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

  /**
   * How many that serve a model take attempts besides these, all as `<node name>/<worker id>`, or are about to. A model that
   * is not known (null) is taken to be workers'.
   */
  async countBesides(besides: readonly string[], model: Whereabouts | null): Promise<number> {
    const able = (await this.present()).filter(({ device }) => isServedBy(model ?? OF_WORKERS, device));
    return able.filter(({ id }) => !besides.includes(id)).length;
  }

  /** As {@link countBesides}, of those that the model's jobs go to first. */
  async countFirstChoicesBesides(besides: readonly string[], model: Whereabouts): Promise<number> {
    const first = (await this.present()).filter(({ device }) => isFirstChoice(model, device));
    return first.filter(({ id }) => !besides.includes(id)).length;
  }

  /** All that take attempts, or are about to. */
  async present(): Promise<readonly PresentWorker[]> {
    const here = this.presentHere();
    if (!this.store.isShared) return here;
    const nodes = await this.nodes.list(this.clock.now());
    const others = nodes.filter(({ name, state }) => state === 'serving' && name !== this.node.name);
    return [...here, ...others.flatMap(({ name, workers }) => present(name, workers))];
  }

  /** Those of this node. */
  presentHere(): readonly PresentWorker[] {
    return present(this.node.name, this.inventory.list());
  }

  /** Why nobody here besides this worker runs a model, in words; empty: somebody does. */
  reasonsAgainst(model: Whereabouts, besides: string): readonly string[] {
    const others = this.inventory.list().filter(({ id }) => `${this.node.name}/${id}` !== besides);
    const able = others.filter(({ device }) => isServedBy(model, device));
    if (able.some(({ state }) => isThere(state))) return [];
    const why = able.map(({ id, state, reason }) => `${id}: ${reason ?? `it is ${state}`}`);
    return model.isLocal ? why : [...why, 'no worker serves it: its entry has no source'];
  }
}

const OF_WORKERS: Whereabouts = { isLocal: true, comfyui: null };

function present(node: string, workers: readonly WorkerDescription[]): readonly PresentWorker[] {
  return workers.filter(({ state }) => isThere(state)).map(({ id, device }) => ({ id: `${node}/${id}`, device }));
}

/** One that is defunct may be so for good. */
function isThere(state: WorkerState): boolean {
  return takesAttempts(state) || state === 'starting';
}
