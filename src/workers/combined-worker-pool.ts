import type { ReadyWorker } from '../dispatch/ports/worker-pool.port.js';
import { WorkerPool } from '../dispatch/ports/worker-pool.port.js';
import type { ModelFootprint } from '../domain/placement/footprint.js';
import type { WorkerDescription } from '../domain/placement/worker-description.js';
import type { WorkerInventory } from '../jobs/ports/worker-inventory.port.js';

/** A pool that is started and stopped with its node. */
export interface RunnablePool extends WorkerPool, WorkerInventory {
  start(): void;
  stop(): Promise<void>;
}

/** Pools of different kinds as one. Ids of workers differ between them; each does nothing about those of others. */
export class CombinedWorkerPool extends WorkerPool implements RunnablePool {
  constructor(private readonly pools: readonly RunnablePool[]) {
    super();
  }

  start(): void {
    for (const pool of this.pools) pool.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.pools.map((pool) => pool.stop()));
  }

  list(): readonly WorkerDescription[] {
    return this.pools.flatMap((pool) => pool.list());
  }

  ready(): readonly ReadyWorker[] {
    return this.pools.flatMap((pool) => pool.ready());
  }

  drain(id?: string): void {
    for (const pool of this.pools) pool.drain(id);
  }

  async stopWorker(id: string): Promise<void> {
    await Promise.all(this.pools.map((pool) => pool.stopWorker(id)));
  }

  startWorker(id: string): boolean {
    return this.pools.some((pool) => pool.startWorker(id));
  }

  onFootprint(listener: (footprint: Omit<ModelFootprint, 'overruns'>) => void): () => void {
    return all(this.pools.map((pool) => pool.onFootprint(listener)));
  }

  onChange(listener: () => void): () => void {
    return all(this.pools.map((pool) => pool.onChange(listener)));
  }
}

function all(stops: readonly (() => void)[]): () => void {
  return () => {
    for (const stop of stops) stop();
  };
}
