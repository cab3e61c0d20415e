import { createHash, randomInt } from 'node:crypto';

import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';

import { QueueConfig } from '../../config/queue.config.js';
import type { Job } from '../../domain/job/job.js';
import { Clock } from '../ports/clock.port.js';
import { JobEvents } from '../ports/job-events.port.js';
import type { InsertResult } from '../ports/job-store.port.js';
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

/**
 * Accepts jobs: validates, applies idempotency and the bound of the queue, writes the rows. When the promise resolves with
 * `accepted` the rows are durable; from here on a job is never lost.
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
  ) {}

  /** All inputs become jobs, or none. Problems name their input as `requests[i].field` when there are several. */
  async submit(
    inputs: readonly GenerationInput[],
    idempotencyKey: string | null,
    batch = false,
  ): Promise<SubmitResult> {
    const now = this.clock.now();
    const problems: FieldProblem[] = [];
    const jobs = inputs.flatMap((input, index) => {
      const resolution = resolveRequest(input, this.models, now, () => randomInt(DRAWN_SEED_BOUND).toString());
      if (resolution.ok) return [{ id: uuidv7(), request: resolution.request, runAt: null, createdAt: now }];
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
    const bound = { maxWaiting: this.queue.maxWaiting };
    return this.answer(await this.store.insert(jobs, bound, idempotency));
  }

  /** Takes nothing more: the node stops. */
  close(): void {
    this.closed = true;
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
