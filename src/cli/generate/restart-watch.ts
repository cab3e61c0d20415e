import type { WorkerJson } from '../client/wire.js';
import { someTakesWork } from './waiting-view.js';

/** Tells workers that do not come up from those that were killed at work: the latter do the job once they are back. */
export class RestartWatch {
  /** Restarts of each worker when one of them was last known to work; null: as they are at the next look. */
  private before: ReadonlyMap<string, number> | null = new Map();

  /** `maxRestarts`: of every worker in a row, without work between them; null: somebody else looks after them. */
  constructor(private readonly maxRestarts: number | null) {}

  /** The job ran. */
  worked(): void {
    this.before = null;
  }

  /** Whether these workers will not come up. */
  isHopeless(workers: readonly WorkerJson[]): boolean {
    if (someTakesWork(workers)) this.before = null;
    const before = (this.before ??= new Map(workers.map(({ id, restarts }) => [id, restarts])));
    const { maxRestarts } = this;
    if (maxRestarts === null || workers.length === 0) return false;
    return workers.every(({ id, restarts }) => restarts - (before.get(id) ?? 0) >= maxRestarts);
  }
}
