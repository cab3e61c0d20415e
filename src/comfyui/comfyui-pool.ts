import type { ReadyWorker } from '../dispatch/ports/worker-pool.port.js';
import { WorkerPool } from '../dispatch/ports/worker-pool.port.js';
import type { WorkerDescription } from '../domain/placement/worker-description.js';
import type { WorkerInventory } from '../jobs/ports/worker-inventory.port.js';
import type { ComfyUiWorkerOptions } from './comfyui-worker.js';
import { ComfyUiWorker } from './comfyui-worker.js';

/** The pool of one: a ComfyUI server beside the workers of this node. */
export class ComfyUiPool extends WorkerPool implements WorkerInventory {
  private readonly worker: ComfyUiWorker;
  private readonly listeners = new Set<() => void>();

  constructor(options: Omit<ComfyUiWorkerOptions, 'onChange'>) {
    super();
    this.worker = new ComfyUiWorker({
      ...options,
      onChange: () => {
        for (const listener of this.listeners) listener();
      },
    });
  }

  start(): void {
    this.worker.start();
  }

  stop(): Promise<void> {
    return this.worker.stop();
  }

  list(): readonly WorkerDescription[] {
    return [this.worker.describe()];
  }

  ready(): readonly ReadyWorker[] {
    return this.worker.takesAttempts ? [this.worker] : [];
  }

  drain(id?: string): void {
    if (id === undefined || id === this.worker.id) this.worker.drain();
  }

  async stopWorker(id: string): Promise<void> {
    if (id === this.worker.id) await this.worker.stop();
  }

  startWorker(id: string): boolean {
    return id === this.worker.id && this.worker.describe().state === 'stopped' && this.worker.start();
  }

  /** What models take of its device is not told. */
  onFootprint(): () => void {
    return () => undefined;
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
