import { Controller, Get, Headers, Param, Query, Res } from '@nestjs/common';
import { ApiHeader, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';

import { isFinal } from '../../domain/job/job-state.js';
import { QueryJobs } from '../../jobs/query/query-jobs.js';
import type { WatchItem } from '../../jobs/watch/watch-job.js';
import { WatchJob } from '../../jobs/watch/watch-job.js';
import { callerOf } from '../http/caller-of.js';
import { untilClosed } from '../http/client-gone.js';
import type { StreamEvent } from '../http/event-stream.js';
import { EventStream } from '../http/event-stream.js';
import { eventsQuery } from './events-query.js';
import { jobEventView, previewView } from './job-event-view.js';
import { jobIdOf, orNoSuchJob } from './job-id.js';
import { jobView } from './job-view.js';
import { Answers, AnswersProblems, TakesJobId } from './openapi/answers.js';

const STREAM = `Server-sent events \`state\`, \`phase\`, \`progress\`, \`degradation\`, \`artifact\`, \`preview\` and, last, \`final\`.
\`id\` grows by one per job (previews have none); a comment comes every 15 seconds; the stream ends after \`final\`.`;

@ApiTags('jobs')
@Controller('v1/jobs/:id/events')
export class JobEventsController {
  constructor(
    private readonly queryJobs: QueryJobs,
    private readonly watchJob: WatchJob,
  ) {}

  @Get()
  @ApiOperation({ operationId: 'followJob', summary: 'Follow a job: what happened so far, then what happens' })
  @ApiHeader({ name: 'Last-Event-ID', required: false, description: 'Resume after this event.' })
  @ApiQuery({
    name: 'last_event_id',
    schema: { type: 'integer', minimum: 0 },
    required: false,
    description: 'The same, for clients that cannot set headers.',
  })
  @ApiQuery({ name: 'previews', required: false, enum: ['true', 'false'], description: 'Adds preview events.' })
  @Answers(200, STREAM, ['text/event-stream'])
  @Answers(204, 'The job is final and its last event was told before: do not reconnect.')
  @TakesJobId()
  @AnswersProblems('job_not_found', 'invalid_request')
  async follow(
    @Param('id') given: string,
    @Query() query: Record<string, unknown>,
    @Headers('last-event-id') lastEventId: string | undefined,
    @Res() response: Response,
  ): Promise<void> {
    const id = jobIdOf(given);
    const options = eventsQuery(query, lastEventId);
    const snapshot = orNoSuchJob(await this.queryJobs.get(id, callerOf(response.req)));
    if (response.req.method === 'HEAD') {
      response.status(200).type('text/event-stream').end();
      return;
    }
    const signal = untilClosed(response);
    const items = this.watchJob.follow(id, { ...options, signal });
    // A final job has all its events at hand, so the first one, or that there is none, is known at once.
    const first = isFinal(snapshot.job.state) ? await items.next() : null;
    if (first?.done) {
      response.status(204).end();
      return;
    }
    await this.stream(id, first?.value ?? null, items, new EventStream(response, signal), signal);
  }

  private async stream(
    id: string,
    first: WatchItem | null,
    rest: AsyncGenerator<WatchItem>,
    stream: EventStream,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      if (first !== null) await this.tell(id, first, stream);
      for await (const item of rest) await this.tell(id, item, stream);
    } catch (error) {
      stream.cut();
      // A client that goes away while it is written to is the usual end of a stream.
      if (!signal.aborted) throw error;
    } finally {
      await rest.return(undefined);
      stream.end();
    }
  }

  private async tell(id: string, item: WatchItem, stream: EventStream): Promise<void> {
    const event = await this.eventOf(id, item);
    if (event !== null) await stream.send(event);
  }

  /** Null: the job was deleted while it was followed, so that there is nothing left to show with `final`. */
  private async eventOf(id: string, item: WatchItem): Promise<StreamEvent | null> {
    if (item.kind === 'preview') return { event: 'preview', data: previewView(item.frame) };
    const { seq, body } = item.event;
    if (body.type !== 'final') return { id: seq, event: body.type, data: jobEventView(id, body) };
    const job = await this.watchJob.read(id);
    return job && { id: seq, event: 'final', data: { job: jobView(await this.queryJobs.snapshot(job)) } };
  }
}
