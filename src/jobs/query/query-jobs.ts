import { Injectable } from '@nestjs/common';

import { waitingFor } from '../../domain/job/waiting-for.js';
import type { WaitingFor } from '../../domain/job/waiting-for.js';
import type { Job } from '../../domain/job/job.js';
import type { JobFilter } from '../ports/job-store.port.js';
import { JobStore } from '../ports/job-store.port.js';

/** A job with what is only known at the moment of reading. */
export interface JobSnapshot {
  readonly job: Job;
  /** 1 for the next to run; null unless queued. */
  readonly queuePosition: number | null;
  readonly waitingFor: WaitingFor | null;
}

/** Reads jobs. */
@Injectable()
export class QueryJobs {
  constructor(private readonly store: JobStore) {}

  async get(id: string): Promise<JobSnapshot | null> {
    const job = await this.store.get(id);
    return job === null ? null : this.snapshot(job);
  }

  /** Newest first. */
  async list(filter: JobFilter): Promise<JobSnapshot[]> {
    return Promise.all((await this.store.list(filter)).map((job) => this.snapshot(job)));
  }

  async snapshot(job: Job): Promise<JobSnapshot> {
    const queuePosition = job.state === 'queued' ? await this.store.queuePosition(job.id) : null;
    return { job, queuePosition, waitingFor: waitingFor(job) };
  }
}
