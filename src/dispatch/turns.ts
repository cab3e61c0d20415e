import { Injectable } from '@nestjs/common';

import { PRIORITIES, sortAt } from '../domain/job/priority.js';
import type { Job } from '../domain/job/job.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import type { AttemptInFlight } from './in-flight.js';
import { InFlight } from './in-flight.js';
import type { ReadyWorker } from './ports/worker-pool.port.js';

/** How far jobs may overtake one that finds no room beside them, in milliseconds of the order. */
const OVERTAKING_MS = 30_000;

/** A model without room for all its jobs on a worker as it is. */
export interface CrampedModel {
  readonly model: string;
  /** Pictures with more pixels find no room; 0: none does. */
  readonly maxPixels: number;
}

/** What a worker takes nothing more for. */
interface Keeping {
  readonly jobId: string;
  /** Attempts whose end is waited for. */
  readonly until: readonly AttemptInFlight[];
}

/**
 * Sees to it that a job gets its turn on a device that others, which fit together, would keep busy for ever: once it was
 * overtaken too far, one worker takes nothing more until what runs there has ended.
 */
@Injectable()
export class Turns {
  /** By worker. */
  private readonly kept = new Map<string, Keeping>();

  constructor(
    private readonly store: JobStore,
    private readonly inFlight: InFlight,
  ) {}

  /** Whether the worker is to take nothing but what finds room when it is empty. */
  async isKept(worker: ReadyWorker, cramped: readonly CrampedModel[]): Promise<boolean> {
    const waiting = cramped.length === 0 ? null : await this.overtaken(worker, cramped);
    if (waiting === null) this.kept.delete(worker.id);
    else this.kept.set(worker.id, { jobId: waiting.id, until: this.inFlight.on(worker.id) });
    return waiting !== null;
  }

  /** A job without room here that was overtaken too far, and for which no other worker is kept; null: none. */
  private async overtaken(worker: ReadyWorker, cramped: readonly CrampedModel[]): Promise<Job | null> {
    const orders = this.inFlight.on(worker.id).map((attempt) => attempt.describe().sortAt);
    const newest = Math.max(Number.NEGATIVE_INFINITY, ...orders);
    const room = new Map(cramped.map(({ model, maxPixels }) => [model, maxPixels]));
    for (const priority of PRIORITIES) {
      const found = await this.store.firstQueued(priority, [...room.keys()]);
      const job = found === null ? null : await this.store.get(found.id);
      if (job?.state !== 'queued' || job.avoids.includes(worker.qualifiedId)) continue;
      const { width, height, model } = job.request;
      const isCramped = width * height > (room.get(model) ?? 0);
      const isOvertaken = sortAt(priority, job.createdAt) + OVERTAKING_MS < newest;
      if (isCramped && isOvertaken && !this.isKeptElsewhere(job.id, worker)) return job;
    }
    return null;
  }

  /** Where all that was waited for has ended, the worker was drained, died or was taken alone: it would be free by now. */
  private isKeptElsewhere(jobId: string, worker: ReadyWorker): boolean {
    const running = this.inFlight.list();
    return [...this.kept].some(
      ([id, keeping]) =>
        id !== worker.id && keeping.jobId === jobId && keeping.until.some((attempt) => running.includes(attempt)),
    );
  }
}
