import type { Metadata, ServerWritableStream } from '@grpc/grpc-js';
import { Controller, UseFilters, UseGuards } from '@nestjs/common';
import { GrpcMethod } from '@nestjs/microservices';
import type { Observable } from 'rxjs';

import { isFinal } from '../../domain/job/job-state.js';
import type { Job } from '../../domain/job/job.js';
import type {
  GenerateRequest,
  GenerateResponse,
  JobEvent,
  JobServiceService,
  WatchJobRequest,
  WatchJobResponse,
} from '../../gen/safelight/v1/safelight.pb.js';
import { QueryJobs } from '../../jobs/query/query-jobs.js';
import { WaitForJob } from '../../jobs/watch/wait-for-job.js';
import type { WatchItem } from '../../jobs/watch/watch-job.js';
import { WatchJob } from '../../jobs/watch/watch-job.js';
import { goesOnWhenClientLeaves } from '../http/on-disconnect.js';
import { invalidFields } from '../http/problem.js';
import { jobIdOf, orNoSuchJob } from '../rest/job-id.js';
import { eventMessage, finalMessage, previewMessage } from './messages/event-message.js';
import { CallAccessGuard } from './serving/access.guard.js';
import { metadataText } from './serving/callers.js';
import type { Incoming } from './serving/calls.js';
import { Calls } from './serving/calls.js';
import type { Handlers } from './serving/handlers.js';
import { CallEnd } from './status/call-end.js';
import { statusOfJob } from './status/call-status.js';
import { StatusFilter } from './status/status.filter.js';
import { idempotencyKeyIn, Submissions } from './submissions.js';

/** Every job has fewer events than a number can count. */
const MAX_EVENT = BigInt(Number.MAX_SAFE_INTEGER);

interface Wanted {
  readonly afterSeq: number;
  readonly previews: boolean;
}

/** The calls that follow jobs. */
@UseGuards(CallAccessGuard)
@UseFilters(StatusFilter)
@Controller()
export class GrpcJobStreamsController implements Handlers<typeof JobServiceService, 'watchJob' | 'generate'> {
  constructor(
    private readonly calls: Calls,
    private readonly submissions: Submissions,
    private readonly queryJobs: QueryJobs,
    private readonly watching: WatchJob,
    private readonly waiting: WaitForJob,
  ) {}

  @GrpcMethod('JobService', 'watchJob')
  watchJob(
    _request: WatchJobRequest,
    _metadata: Metadata,
    call: ServerWritableStream<WatchJobRequest, WatchJobResponse>,
  ): Observable<never> {
    return this.calls.streaming(call, (incoming) => this.watch(incoming));
  }

  @GrpcMethod('JobService', 'generate')
  generate(
    _request: GenerateRequest,
    _metadata: Metadata,
    call: ServerWritableStream<GenerateRequest, GenerateResponse>,
  ): Observable<never> {
    return this.calls.streaming(call, (incoming) => this.submitAndWatch(incoming));
  }

  private async *watch(incoming: Incoming<WatchJobRequest>): AsyncGenerator<WatchJobResponse> {
    const { request, caller } = incoming;
    const id = jobIdOf(request.id);
    orNoSuchJob(await this.queryJobs.get(id, caller));
    const wanted = { afterSeq: eventNumber(request.afterEvent), previews: request.previews };
    for await (const event of this.events(id, wanted, incoming)) yield { event };
  }

  private async *submitAndWatch(incoming: Incoming<GenerateRequest>): AsyncGenerator<GenerateResponse> {
    const { request, metadata, caller, gone } = incoming;
    const key = idempotencyKeyIn(request.idempotencyKey, metadataText(metadata, 'idempotency-key'));
    const goesOn = key !== null || goesOnWhenClientLeaves(metadataText(metadata, 'safelight-on-disconnect'));
    const job = await this.submissions.one(request.request, request.idempotencyKey, incoming);
    // Its pictures would be kept, by the call as well, for as long as the queue is.
    request.request = undefined;
    let last: Job = job;
    try {
      for await (const event of this.events(job.id, { afterSeq: 0, previews: request.previews }, incoming)) {
        yield { event, jobId: job.id };
      }
      last = (await this.queryJobs.get(job.id, caller))?.job ?? last;
    } finally {
      if (gone.aborted && !goesOn && !isFinal(last.state)) await this.waiting.callOff(last, caller);
    }
    const failed = statusOfJob(last);
    if (failed !== null) throw new CallEnd(failed);
  }

  private async *events(id: string, wanted: Wanted, { caller, over }: Incoming<unknown>): AsyncGenerator<JobEvent> {
    for await (const item of this.watching.follow(id, { ...wanted, signal: over })) {
      const event = await this.messageOf(item, () => this.queryJobs.get(id, caller));
      if (event !== null) yield event;
    }
  }

  /** Null: the job was deleted while it was followed, so that there is nothing left to show with `final`. */
  private async messageOf(item: WatchItem, read: () => ReturnType<QueryJobs['get']>): Promise<JobEvent | null> {
    if (item.kind === 'preview') return previewMessage(item.frame);
    const { seq, body } = item.event;
    if (body.type !== 'final') return eventMessage(seq, body);
    const snapshot = await read();
    return snapshot && finalMessage(item.event, snapshot);
  }
}

function eventNumber(digits: string): number {
  if (BigInt(digits) <= MAX_EVENT) return Number(digits);
  const limit = { max: Number(MAX_EVENT) };
  throw invalidFields([{ field: 'after_event', message: 'is beyond every event', value: digits, limit }]);
}
