import { randomInt } from 'node:crypto';

import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';

import { QueueConfig } from '../../config/queue.config.js';
import { WebhooksConfig } from '../../config/webhooks.config.js';
import type { Caller } from '../../domain/access/caller.js';
import { OPERATOR } from '../../domain/access/caller.js';
import type { Job } from '../../domain/job/job.js';
import { currentTraceparent } from '../../telemetry/tracing/trace-scope.js';
import { ArtifactStore } from '../ports/artifact-store.port.js';
import { Clock } from '../ports/clock.port.js';
import { JobEvents } from '../ports/job-events.port.js';
import type { Idempotency, InsertResult } from '../ports/job-store.port.js';
import { JobStore } from '../ports/job-store.port.js';
import { ModelCatalog } from '../ports/model-catalog.port.js';
import { PictureSource } from '../ports/picture-source.port.js';
import { QueryWorkers } from '../query/query-workers.js';
import type { DeadlineRefusal } from './check-deadlines.js';
import { checkDeadlines } from './check-deadlines.js';
import { fetchPictures, namesUrls } from './fetch-pictures.js';
import type { FieldProblem, GenerationInput } from './generation-input.js';
import type { Submission } from './insert-jobs.js';
import { InsertJobs } from './insert-jobs.js';
import { requestHash } from './request-hash.js';
import { retryAfterSeconds } from './retry-after.js';
import type { Resolution, Terms } from './resolve-request.js';
import { resolveRequest } from './resolve-request.js';

export type SubmitResult =
  | { readonly outcome: 'accepted'; readonly jobs: readonly Job[] }
  /** The idempotency key was used before with the same body. */
  | { readonly outcome: 'existing'; readonly jobs: readonly Job[] }
  | { readonly outcome: 'conflict'; readonly jobId: string }
  /** The store broke before it said what became of the rows, and does not answer now: they may be there. */
  | { readonly outcome: 'unknown'; readonly retryAfterSeconds: number }
  /** The node stops, or takes no more work. */
  | { readonly outcome: 'not_serving'; readonly retryAfterSeconds: number }
  /** A deadline cannot be met. Nothing was written. */
  | DeadlineRefusal
  /** A limit of the caller. Nothing was written. */
  | (Extract<InsertResult, { outcome: 'over_limit' }> & { readonly retryAfterSeconds: number })
  | { readonly outcome: 'invalid'; readonly problems: readonly FieldProblem[] }
  | {
      readonly outcome: 'queue_full';
      readonly waiting: number;
      readonly limit: number;
      readonly retryAfterSeconds: number;
    };

/** Who submits, and how. */
interface Origin {
  /** Absent: the server itself. */
  readonly caller?: Caller;
  /** Problems name their input as `requests[i].field`. */
  readonly batch?: boolean;
  /** Whoever submits has gone: pictures are not fetched any more. What is accepted stays so. */
  readonly gone?: AbortSignal;
}

/** A request as it is handled: whose, under which key, and how its fields are named. */
interface Asked {
  readonly caller: Caller;
  readonly idempotency: Idempotency | null;
  readonly prefixOf: (index: number) => string;
}

type Judgement =
  | { readonly ok: true; readonly submissions: readonly Submission[] }
  | { readonly ok: false; readonly answer: SubmitResult };

/** A node that stops or a store that went away is back, or replaced, in about this time. */
const AWAY_RETRY_SECONDS = 5;

const NOT_SERVING = { outcome: 'not_serving', retryAfterSeconds: AWAY_RETRY_SECONDS } as const;

/** Jobs of a client that has as many as it may end within seconds to minutes; asking is cheap. */
const UNFINISHED_RETRY_SECONDS = 5;

/** Seeds are drawn below 2^32: every client can hold them, and they can be typed. */
const DRAWN_SEED_BOUND = 2 ** 32;

/**
 * Accepts jobs: validates, applies idempotency and the bound of the queue, fetches pictures that are named by their address,
 * stores pictures, then writes the rows. When the promise resolves with `accepted` both are durable; from here on a job is
 * never lost. A crash in between leaves pictures without a job, which the next start removes.
 */
@Injectable()
export class SubmitJobs {
  private readonly closing = new AbortController();
  private readonly insertion: InsertJobs;

  constructor(
    private readonly store: JobStore,
    private readonly events: JobEvents,
    private readonly models: ModelCatalog,
    private readonly clock: Clock,
    private readonly queue: QueueConfig,
    artifacts: ArtifactStore,
    private readonly webhooks: WebhooksConfig,
    private readonly workers: QueryWorkers,
    private readonly pictures: PictureSource,
  ) {
    this.insertion = new InsertJobs({ store, artifacts, queue, clock });
  }

  /** All inputs become jobs, or none. */
  async submit(
    inputs: readonly GenerationInput[],
    idempotencyKey: string | null,
    { caller = OPERATOR, batch = false, gone }: Origin = {},
  ): Promise<SubmitResult> {
    const { client } = caller;
    const prefixOf = (index: number) => (batch ? `requests[${index}].` : '');
    const idempotency =
      idempotencyKey === null ? null : { client, key: idempotencyKey, requestHash: requestHash(inputs) };
    const asked = { caller, idempotency, prefixOf };
    const judged = await this.judge(inputs, asked);
    if (!judged.ok) return judged.answer;
    if (!namesUrls(inputs)) return this.answer(await this.insertion.insert(judged.submissions, asked), inputs.length);
    // Nobody is asked for a picture while anything else stands against the request.
    const foreseen = await this.insertion.foreseen(inputs.length, idempotency);
    if (foreseen !== null) return this.answer(foreseen, inputs.length);
    const signal = gone === undefined ? this.closing.signal : AbortSignal.any([this.closing.signal, gone]);
    const fetched = await fetchPictures(inputs, { source: this.pictures, prefixOf, signal });
    if (this.closed) return NOT_SERVING;
    if (!fetched.ok) return { outcome: 'invalid', problems: fetched.problems };
    // Anew: there are pictures to look at now, and time has passed.
    const whole = await this.judge(fetched.inputs, asked);
    return whole.ok ? this.answer(await this.insertion.insert(whole.submissions, asked), inputs.length) : whole.answer;
  }

  /** What inputs would become, or why they do not; pictures that were not fetched count as right. */
  private async judge(
    inputs: readonly GenerationInput[],
    { caller: { client }, idempotency, prefixOf }: Asked,
  ): Promise<Judgement> {
    const terms = this.terms();
    const trace = currentTraceparent();
    const problems: FieldProblem[] = [];
    const submissions = inputs.flatMap((input, index): Submission[] => {
      const resolution = resolveRequest(input, this.models, terms);
      if (resolution.ok) {
        const { request, files } = resolution;
        const job = { id: uuidv7(), request, client, runAt: null, createdAt: terms.now, trace };
        return [{ job, files }];
      }
      problems.push(...resolution.problems.map((problem) => ({ ...problem, field: prefixOf(index) + problem.field })));
      return [];
    });
    const refusal =
      problems.length > 0 ? ({ outcome: 'invalid', problems } as const) : await this.refusal(submissions, prefixOf);
    if (refusal === null) return { ok: true, submissions };
    // Who repeats a request that was accepted gets its job, also when it could not be accepted any more.
    const earlier = idempotency === null ? null : await this.store.findSubmission(idempotency);
    return { ok: false, answer: earlier?.outcome === 'existing' ? earlier : refusal };
  }

  /** What decides about requests beside their models. */
  private terms(): Terms {
    const { timeBudgetMs } = this.queue;
    return {
      now: this.clock.now(),
      webhooksEnabled: this.webhooks.secret !== null,
      pictureSource: this.pictures,
      timeBudgetMs: timeBudgetMs === 0 ? null : timeBudgetMs,
      drawSeed: () => randomInt(DRAWN_SEED_BOUND).toString(),
    };
  }

  /** What an input asks for with everything filled in, or all that is wrong with it. Nothing is submitted. */
  resolve(input: GenerationInput): Resolution {
    return resolveRequest(input, this.models, this.terms());
  }

  /** Takes nothing more: the node stops or drains. */
  close(): void {
    this.closing.abort();
  }

  private get closed(): boolean {
    return this.closing.signal.aborted;
  }

  /** Why submissions without a problem are not taken all the same; null: nothing stands against them so far. */
  private async refusal(
    submissions: readonly Submission[],
    prefixOf: (index: number) => string,
  ): Promise<Extract<SubmitResult, { outcome: 'not_serving' }> | DeadlineRefusal | null> {
    if (this.closed) return NOT_SERVING;
    const requests = submissions.map(({ job }) => job.request);
    return checkDeadlines(requests, { store: this.store, workers: this.workers, now: this.clock.now(), prefixOf });
  }

  private async answer(result: InsertResult | null, count: number): Promise<SubmitResult> {
    if (result === null) return { outcome: 'unknown', retryAfterSeconds: AWAY_RETRY_SECONDS };
    switch (result.outcome) {
      case 'inserted':
        this.events.publish(result.events);
        return { outcome: 'accepted', jobs: result.jobs };
      case 'queue_full': {
        const limit = this.queue.maxWaiting;
        const finishedLastMinute = await this.store.countFinishedSince(this.clock.now() - 60_000);
        const places = result.waiting + count - limit;
        return { ...result, limit, retryAfterSeconds: retryAfterSeconds(places, finishedLastMinute) };
      }
      case 'over_limit': {
        const { renewsAt } = result;
        const wait = renewsAt === null ? UNFINISHED_RETRY_SECONDS : Math.ceil((renewsAt - this.clock.now()) / 1000);
        return { ...result, retryAfterSeconds: Math.max(1, wait) };
      }
      default:
        return result;
    }
  }
}
