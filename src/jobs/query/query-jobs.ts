import { Injectable } from '@nestjs/common';

import type { Caller } from '../../domain/access/caller.js';
import { maySee } from '../../domain/access/caller.js';
import { waitingFor } from '../../domain/job/waiting-for.js';
import type { WaitingFor } from '../../domain/job/waiting-for.js';
import type { Job } from '../../domain/job/job.js';
import type { JobFilter } from '../ports/job-store.port.js';
import { JobStore } from '../ports/job-store.port.js';
import { unlessAway } from '../unless-away.js';

/** A job with what is only known at the moment of reading. */
export interface JobSnapshot {
  readonly job: Job;
  /** 1 for the next to run; null unless queued. */
  readonly queuePosition: number | null;
  readonly waitingFor: WaitingFor | null;
}

export interface JobPage {
  readonly snapshots: readonly JobSnapshot[];
  /** Id of the last job, before which the next page begins; null: there is none. */
  readonly nextBeforeId: string | null;
}

/** Reads jobs. */
@Injectable()
export class QueryJobs {
  constructor(private readonly store: JobStore) {}

  /** Null: there is no such job that the caller may see. */
  async get(id: string, caller: Caller): Promise<JobSnapshot | null> {
    const job = await this.store.get(id);
    return job === null || !maySee(caller, job) ? null : this.snapshot(job);
  }

  /** Those the caller may see, newest first. */
  async list(filter: Omit<JobFilter, 'client'>, { role, client }: Caller): Promise<JobSnapshot[]> {
    if (role === 'monitor') return [];
    const jobs = await this.store.list(role === 'operator' ? filter : { ...filter, client });
    return Promise.all(jobs.map((job) => this.snapshot(job)));
  }

  /** The first `limit` of those the caller may see, newest first. */
  async page(filter: Omit<JobFilter, 'client'>, caller: Caller): Promise<JobPage> {
    // One more than asked for tells whether there is a next page.
    const found = await this.list({ ...filter, limit: filter.limit + 1 }, caller);
    const snapshots = found.slice(0, filter.limit);
    const last = found.length > snapshots.length ? snapshots.at(-1) : undefined;
    return { snapshots, nextBeforeId: last?.job.id ?? null };
  }

  /** A job that was just changed: told also when the store has gone since, as an error would have the change made again. */
  async snapshotOfChanged(job: Job): Promise<JobSnapshot> {
    return (await unlessAway(this.snapshot(job))) ?? { job, queuePosition: null, waitingFor: waitingFor(job) };
  }

  async snapshot(job: Job): Promise<JobSnapshot> {
    const queuePosition = job.state === 'queued' ? await this.store.queuePosition(job.id) : null;
    return { job, queuePosition, waitingFor: waitingFor(job) };
  }
}
