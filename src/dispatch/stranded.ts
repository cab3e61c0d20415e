import { Injectable } from '@nestjs/common';

import type { Job } from '../domain/job/job.js';
import type { Priority } from '../domain/job/priority.js';
import { PRIORITIES, sortAt } from '../domain/job/priority.js';
import { Clock } from '../jobs/ports/clock.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import { ModelCatalog } from '../jobs/ports/model-catalog.port.js';
import { OtherWorkers } from './other-workers.js';

/** Between two looks while the workers stay the same, in milliseconds. */
const LOOK_PAUSE_MS = 10_000;

/** How long a job waits for workers that are there but do not take it, in milliseconds. */
const PATIENCE_MS = 60_000;

/** Jobs of a class looked at for those of other clients than the first, which may be served before it. */
const JOBS_LOOKED_AT = 100;

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
   * just looked.
   */
  async findModel(): Promise<string | null> {
    const now = this.clock.now();
    if (now < this.nextLookAt) return null;
    this.nextLookAt = now + LOOK_PAUSE_MS;
    const waiting = await this.store.waitingModels();
    const first: Job[] = [];
    for (const model of waiting.filter((id) => this.models.find(id) !== null)) {
      const job = await this.firstOf(model);
      if (job !== null) first.push(job);
    }
    for (const job of first.toSorted(inOrder)) {
      if (!(await this.areStranded([job, ...(await this.firstOfOtherClients(job))]))) continue;
      this.lookAgain();
      return job.request.model;
    }
    return null;
  }

  private async firstOf(model: string): Promise<Job | null> {
    const heads: Job[] = [];
    for (const priority of PRIORITIES) {
      const job = await this.firstInClass(priority, model);
      if (job !== null) heads.push(job);
    }
    return heads.toSorted(inOrder)[0] ?? null;
  }

  private async firstInClass(priority: Priority, model: string): Promise<Job | null> {
    const found = await this.store.firstQueued(priority, [model]);
    return found === null ? null : this.store.get(found.id);
  }

  /** Clients take turns in a class, so that one of these may be given in place of the first. */
  private async firstOfOtherClients({ client, request }: Job): Promise<readonly Job[]> {
    const { model, priority } = request;
    const jobs = await this.store.list({ states: ['queued'], model, priority, limit: JOBS_LOOKED_AT });
    const byClient = new Map<string, Job>();
    for (const job of jobs.toSorted(inOrder)) {
      if (job.client !== client && !byClient.has(job.client)) byClient.set(job.client, job);
    }
    return [...byClient.values()];
  }

  private async areStranded(jobs: readonly Job[]): Promise<boolean> {
    for (const job of jobs) if (!(await this.isStranded(job))) return false;
    return true;
  }

  private async isStranded({ avoids, attempts }: Job): Promise<boolean> {
    if (avoids.length === 0) return false;
    const now = this.clock.now();
    const since = attempts.at(-1)?.finishedAt ?? now;
    return now - since >= PATIENCE_MS || (await this.otherWorkers.countBesides(avoids)) === 0;
  }
}

function inOrder(a: Job, b: Job): number {
  const order = ({ request, createdAt }: Job) => sortAt(request.priority, createdAt);
  return order(a) - order(b) || (a.id < b.id ? -1 : 1);
}
