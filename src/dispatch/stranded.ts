import { Injectable } from '@nestjs/common';

import type { Job } from '../domain/job/job.js';
import { Clock } from '../jobs/ports/clock.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import { ModelCatalog } from '../jobs/ports/model-catalog.port.js';
import { OtherWorkers } from './other-workers.js';
import { firstOf, firstOfOtherClients, inOrder } from './queue-heads.js';

/** Between two looks while the workers stay the same, in milliseconds. */
const LOOK_PAUSE_MS = 10_000;

/** How long a job waits for workers that are there but do not take it, in milliseconds. */
const PATIENCE_MS = 60_000;

/**
 * Finds jobs that avoid every worker there is, for those they were moved on to have gone, or that were waiting for one too
 * long. They are better tried again where they failed than left waiting for ever.
 */
@Injectable()
export class Stranded {
  private nextLookAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly store: JobStore,
    private readonly models: ModelCatalog,
    private readonly otherWorkers: OtherWorkers,
    private readonly clock: Clock,
  ) {}

  /** Workers came or went. */
  lookAgain(): void {
    this.nextLookAt = Number.NEGATIVE_INFINITY;
  }

  /**
   * A model this node serves of which a worker that nobody avoids would be given such a job; null: there is none, or it was
   * just looked. `isRunnable`: whether a worker with room can do all that a job asks for.
   */
  async findModel(isRunnable: (job: Job) => boolean = () => true): Promise<string | null> {
    const now = this.clock.now();
    if (now < this.nextLookAt) return null;
    this.nextLookAt = now + LOOK_PAUSE_MS;
    const waiting = await this.store.waitingModels();
    const first: Job[] = [];
    for (const model of waiting.filter((id) => this.models.find(id) !== null)) {
      const job = await firstOf(this.store, model);
      if (job !== null) first.push(job);
    }
    for (const job of first.toSorted(inOrder)) {
      const heads = [job, ...(await firstOfOtherClients(this.store, job))];
      if (!heads.every(isRunnable) || !(await this.areStranded(heads))) continue;
      this.lookAgain();
      return job.request.model;
    }
    return null;
  }

  private async areStranded(jobs: readonly Job[]): Promise<boolean> {
    for (const job of jobs) if (!(await this.isStranded(job))) return false;
    return true;
  }

  private async isStranded({ avoids, attempts, request }: Job): Promise<boolean> {
    if (avoids.length === 0) return false;
    const now = this.clock.now();
    const since = attempts.at(-1)?.finishedAt ?? now;
    if (now - since >= PATIENCE_MS) return true;
    return (await this.otherWorkers.countBesides(avoids, this.models.find(request.model))) === 0;
  }
}
