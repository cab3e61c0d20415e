import type { QueueConfig } from '../../config/queue.config.js';
import type { Caller } from '../../domain/access/caller.js';
import { clientBound } from '../../domain/access/client-bound.js';
import type { JobEvent } from '../../domain/job/job-event.js';
import type { Job } from '../../domain/job/job.js';
import type { ArtifactStore, InputFile } from '../ports/artifact-store.port.js';
import type { Clock } from '../ports/clock.port.js';
import type { Idempotency, InsertResult, JobStore, NewJob } from '../ports/job-store.port.js';
import { StoreUnavailableError } from '../ports/job-store.port.js';

/** A job to insert, and the pictures it starts from. */
export interface Submission {
  readonly job: NewJob;
  readonly files: readonly InputFile[];
}

/** Whose jobs they are, and under which key. */
interface Submitted {
  readonly caller: Caller;
  readonly idempotency: Idempotency | null;
}

interface Parts {
  readonly store: JobStore;
  readonly artifacts: ArtifactStore;
  readonly queue: QueueConfig;
  readonly clock: Clock;
}

/** Writes jobs whose requests are right: all of them or none, within the bounds of the queue and of their client. */
export class InsertJobs {
  constructor(private readonly parts: Parts) {}

  /** Pictures first, then the rows. Null: whether the rows were written is not known. Rejects when nothing was. */
  async insert(submissions: readonly Submission[], { caller, idempotency }: Submitted): Promise<InsertResult | null> {
    const jobs = submissions.map(({ job }) => job);
    const withFiles = submissions.filter(({ files }) => files.length > 0);
    if (withFiles.length === 0) return this.insertRows(jobs, caller, idempotency);
    const foreseen = await this.foreseen(jobs.length, idempotency);
    if (foreseen !== null) return foreseen;
    try {
      for (const { job, files } of withFiles) await this.parts.artifacts.storeInputs(job.id, files);
      const result = await this.insertRows(jobs, caller, idempotency);
      if (result?.outcome === 'inserted') await this.settleInputs(withFiles);
      // Rows that may be there may name them: the next start can tell.
      else if (result !== null) await this.dropInputs(withFiles);
      return result;
    } catch (error) {
      await this.dropInputs(withFiles);
      throw error;
    }
  }

  /** What inserting would come to, as far as it can be told without it: a refusal should not cost the writing of pictures. */
  async foreseen(count: number, idempotency: Idempotency | null): Promise<InsertResult | null> {
    const { store, queue } = this.parts;
    const earlier = idempotency === null ? null : await store.findSubmission(idempotency);
    if (earlier !== null) return earlier;
    const { scheduled, queued } = await store.countByState();
    const waiting = scheduled + queued;
    return waiting + count > queue.maxWaiting ? { outcome: 'queue_full', waiting } : null;
  }

  /** Null: whether the rows were written is not known. Rejects when they were not. */
  private async insertRows(
    jobs: readonly NewJob[],
    { client, limits }: Caller,
    idempotency: Idempotency | null,
  ): Promise<InsertResult | null> {
    const { store, queue, clock } = this.parts;
    const images = jobs.reduce((sum, { request }) => sum + request.num_images, 0);
    const share = clientBound(client, limits, { jobs: jobs.length, images }, clock.now());
    try {
      return await store.insert(jobs, { maxWaiting: queue.maxWaiting, client: share }, idempotency);
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      const written = await this.written(jobs).catch(() => null);
      // A store that breaks while it answers a commit has all of the rows or none.
      if (written?.jobs.length === 0) throw error;
      return written;
    }
  }

  private async written(ids: readonly Pick<NewJob, 'id'>[]): Promise<Extract<InsertResult, { outcome: 'inserted' }>> {
    const jobs: Job[] = [];
    const events: JobEvent[] = [];
    for (const { id } of ids) {
      const job = await this.parts.store.get(id);
      if (job === null) continue;
      jobs.push(job);
      // Only that it is queued is ours to publish; what has come of it since, others have.
      events.push(...(await this.parts.store.eventsAfter(id, 0)).slice(0, 1));
    }
    return { outcome: 'inserted', jobs, events };
  }

  /** What fails here is done again at the next start, which finds the rows. */
  private async settleInputs(submissions: readonly Submission[]): Promise<void> {
    await Promise.allSettled(submissions.map(({ job }) => this.parts.artifacts.settleInputs(job.id)));
  }

  /** Removes what no job will name. What fails here is removed at the next start, which finds no rows. */
  private async dropInputs(submissions: readonly Submission[]): Promise<void> {
    await Promise.allSettled(submissions.map(({ job }) => this.parts.artifacts.remove(job.id)));
  }
}
