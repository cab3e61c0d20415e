import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import { ShutdownConfig } from '../../config/shutdown.config.js';
import type { NodeState } from '../../domain/placement/node-description.js';
import type { WorkerDescription } from '../../domain/placement/worker-description.js';
import { Drains } from '../../jobs/ports/drains.port.js';
import { WorkerInventory } from '../../jobs/ports/worker-inventory.port.js';
import { SubmitJobs } from '../../jobs/submit/submit-jobs.js';
import { LOG } from '../../telemetry/log.js';
import { InFlight } from '../in-flight.js';
import { WorkerPool } from '../ports/worker-pool.port.js';
import { WIND_DOWN, windDown } from './wind-down.js';

/** Takes work off the workers of this node, one by one or all together. */
@Injectable()
export class NodeDrains extends Drains {
  private readonly emptying = new Map<string, Promise<void>>();
  private state: NodeState = 'serving';

  constructor(
    private readonly pool: WorkerPool,
    private readonly inventory: WorkerInventory,
    private readonly inFlight: InFlight,
    private readonly submissions: SubmitJobs,
    private readonly shutdown: ShutdownConfig,
    @Inject(LOG) private readonly log: Logger,
  ) {
    super();
  }

  drainWorker(id: string): WorkerDescription | null {
    if (this.describe(id) === null) return null;
    if (!this.emptying.has(id)) {
      const emptied = this.empty(id).finally(() => this.emptying.delete(id));
      this.emptying.set(id, emptied);
    }
    return this.describe(id);
  }

  /** A node that drains keeps its workers away. */
  startWorker(id: string): WorkerDescription | null {
    if (this.state === 'serving' && !this.emptying.has(id)) this.pool.startWorker(id);
    return this.describe(id);
  }

  drainNode(): NodeState {
    if (this.state !== 'serving') return this.state;
    this.state = 'draining';
    this.log.info('the node drains');
    this.submissions.close();
    for (const { id } of this.inventory.list()) this.drainWorker(id);
    void Promise.all(this.emptying.values()).then(() => {
      this.state = 'drained';
      this.log.info('the node is drained');
    });
    return this.state;
  }

  nodeState(): NodeState {
    return this.state;
  }

  private async empty(id: string): Promise<void> {
    this.log.info({ worker: id }, 'the worker drains');
    this.pool.drain(id);
    try {
      const { drainMs } = this.shutdown;
      const isEmpty = await windDown(() => this.inFlight.on(id), { ...WIND_DOWN, drainMs });
      if (!isEmpty) this.log.warn({ worker: id }, 'the worker does not let go of its attempts; they end with it');
      await this.pool.stopWorker(id);
      this.log.info({ worker: id }, 'the worker is drained');
    } catch (error) {
      this.log.error({ err: error, worker: id }, 'the worker could not be drained');
    }
  }

  private describe(id: string): WorkerDescription | null {
    return this.inventory.list().find((worker) => worker.id === id) ?? null;
  }
}
