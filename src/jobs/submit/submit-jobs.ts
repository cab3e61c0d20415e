import { createHash, randomInt } from 'node:crypto';

import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';

import { QueueConfig } from '../../config/queue.config.js';
import type { Job } from '../../domain/job/job.js';
import type { InputFile } from '../ports/artifact-store.port.js';
import { ArtifactStore } from '../ports/artifact-store.port.js';
import { Clock } from '../ports/clock.port.js';
import { JobEvents } from '../ports/job-events.port.js';
import type { Idempotency, InsertResult, NewJob } from '../ports/job-store.port.js';
import { JobStore } from '../ports/job-store.port.js';
import { ModelCatalog } from '../ports/model-catalog.port.js';
import type { FieldProblem, GenerationInput } from './generation-input.js';
import { retryAfterSeconds } from './retry-after.js';
import { resolveRequest } from './resolve-request.js';

export type SubmitResult =
  | { readonly outcome: 'accepted'; readonly jobs: readonly Job[] }
  /** The idempotency key was used before with the same body. */
  | { readonly outcome: 'existing'; readonly jobs: readonly Job[] }
  | { readonly outcome: 'conflict'; readonly jobId: string }
  /** The node stops. */
  | { readonly outcome: 'not_serving'; readonly retryAfterSeconds: number }
  | { readonly outcome: 'invalid'; readonly problems: readonly FieldProblem[] }
  | {
      readonly outcome: 'queue_full';
      readonly waiting: number;
      readonly limit: number;
      readonly retryAfterSeconds: number;
    };

/** A node that stops is back, or replaced, in about this time. */
const STOPPING_RETRY_SECONDS = 5;

/** Seeds are drawn below 2^32: every client can hold them, and they can be typed. */
const DRAWN_SEED_BOUND = 2 ** 32;

/** A job to insert, and the pictures it starts from. */
interface Submission {
  readonly job: NewJob;
  readonly files: readonly InputFile[];
}

/**
 * Accepts jobs: validates, applies idempotency and the bound of the queue, stores pictures, then writes the rows. When the
 * promise resolves with `accepted` both are durable; from here on a job is never lost. A crash in between leaves pictures
 * without a job, which the next start removes.
 */
@Injectable()
export class SubmitJobs {
  private closed = false;

  constructor(
    private readonly store: JobStore,
    private readonly events: JobEvents,
    private readonly models: ModelCatalog,
    private readonly clock: Clock,
    private readonly queue: QueueConfig,
    private readonly artifacts: ArtifactStore,
  ) {}

  /** All inputs become jobs, or none. Problems name their input as `requests[i].field` when there are several. */
  async submit(
    inputs: readonly GenerationInput[],
    idempotencyKey: string | null,
    batch = false,
  ): Promise<SubmitResult> {
    const now = this.clock.now();
    const problems: FieldProblem[] = [];
    const submissions = inputs.flatMap((input, index): Submission[] => {
      const resolution = resolveRequest(input, this.models, now, () => randomInt(DRAWN_SEED_BOUND).toString());
      if (resolution.ok) {
        const { request, files } = resolution;
        return [{ job: { id: uuidv7(), request, runAt: null, createdAt: now }, files }];
      }
      const prefix = batch ? `requests[${index}].` : '';
      problems.push(...resolution.problems.map((problem) => ({ ...problem, field: prefix + problem.field })));
      return [];
    });
    const idempotency = idempotencyKey === null ? null : { key: idempotencyKey, requestHash: hashOf(inputs) };
    if (problems.length > 0 || this.closed) {
      // Who repeats a request that was accepted gets its job, also when it could not be accepted any more.
      const earlier = idempotency === null ? null : await this.store.findSubmission(idempotency);
      if (earlier?.outcome === 'existing') return earlier;
      if (problems.length > 0) return { outcome: 'invalid', problems };
      return { outcome: 'not_serving', retryAfterSeconds: STOPPING_RETRY_SECONDS };
    }
    return this.answer(await this.insert(submissions, idempotency));
  }

  /** Takes nothing more: the node stops. */
  close(): void {
    this.closed = true;
  }

  private async insert(submissions: readonly Submission[], idempotency: Idempotency | null): Promise<InsertResult> {
    const jobs = submissions.map(({ job }) => job);
    const bound = { maxWaiting: this.queue.maxWaiting };
    const withFiles = submissions.filter(({ files }) => files.length > 0);
    if (withFiles.length === 0) return this.store.insert(jobs, bound, idempotency);
    const foreseen = await this.foreseen(jobs.length, idempotency);
    if (foreseen !== null) return foreseen;
    try {
      for (const { job, files } of withFiles) await this.artifacts.storeInputs(job.id, files);
    } catch (error) {
      await this.dropInputs(withFiles);
      throw error;
    }
    const result = await this.store.insert(jobs, bound, idempotency).catch(async (error: unknown) => {
      await this.dropUnlessInserted(withFiles);
      throw error;
    });
    await (result.outcome === 'inserted' ? this.settleInputs(withFiles) : this.dropInputs(withFiles));
    return result;
  }

  /** What inserting would come to, as far as it can be told without it: a refusal should not cost the writing of pictures. */
  private async foreseen(count: number, idempotency: Idempotency | null): Promise<InsertResult | null> {
    const earlier = idempotency === null ? null : await this.store.findSubmission(idempotency);
    if (earlier !== null) return earlier;
    const { scheduled, queued } = await this.store.countByState();
    const waiting = scheduled + queued;
    return waiting + count > this.queue.maxWaiting ? { outcome: 'queue_full', waiting } : null;
  }

  /** What fails here is done again at the next start, which finds the rows. */
  private async settleInputs(submissions: readonly Submission[]): Promise<void> {
    await Promise.allSettled(submissions.map(({ job }) => this.artifacts.settleInputs(job.id)));
  }

  /** Removes what no job will name. What fails here is removed at the next start, which finds no rows. */
  private async dropInputs(submissions: readonly Submission[]): Promise<void> {
    await Promise.allSettled(submissions.map(({ job }) => this.artifacts.remove(job.id)));
  }

  /** A store that dies while it answers may have written the rows, all of them. If it cannot say, the next start can. */
  private async dropUnlessInserted(submissions: readonly Submission[]): Promise<void> {
    const [first] = submissions;
    if (first === undefined) return;
    const mayBeThere = await this.store.get(first.job.id).then(
      (job) => job !== null,
      () => true,
    );
    if (!mayBeThere) await this.dropInputs(submissions);
  }

  private async answer(result: InsertResult): Promise<SubmitResult> {
    switch (result.outcome) {
      case 'inserted':
        this.events.publish(result.events);
        return { outcome: 'accepted', jobs: result.jobs };
      case 'queue_full': {
        const limit = this.queue.maxWaiting;
        const finishedLastMinute = await this.store.countFinishedSince(this.clock.now() - 60_000);
        return { ...result, limit, retryAfterSeconds: retryAfterSeconds(result.waiting, limit, finishedLastMinute) };
      }
      default:
        return result;
    }
  }
}

/** The same inputs in any order of keys have the same hash. */
function hashOf(inputs: readonly GenerationInput[]): string {
  return createHash('sha256').update(canonical(inputs)).digest('hex');
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, entry: unknown) =>
    typeof entry === 'object' && entry !== null && !Array.isArray(entry)
      ? Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1)))
      : entry,
  );
}
