import { Body, Controller, Get, Headers, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiHeader, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import type { Request, Response } from 'express';

import { LogConfig } from '../../config/log.config.js';
import type { Caller } from '../../domain/access/caller.js';
import { JOB_STATES, isFinal } from '../../domain/job/job-state.js';
import type { Job } from '../../domain/job/job.js';
import { PRIORITIES } from '../../domain/job/priority.js';
import { CancelJob } from '../../jobs/cancel/cancel-job.js';
import { QueryJobs } from '../../jobs/query/query-jobs.js';
import { QueryWorkers } from '../../jobs/query/query-workers.js';
import { SubmitJobs } from '../../jobs/submit/submit-jobs.js';
import { WaitForJob } from '../../jobs/watch/wait-for-job.js';
import { callerOf } from '../http/caller-of.js';
import { CANCEL_AFTER, cancelAfterMs } from '../http/cancel-after.js';
import { untilClosed } from '../http/client-gone.js';
import { idempotencyKeyOf } from '../http/idempotency-key.js';
import { goesOnWhenClientLeaves, ON_DISCONNECT } from '../http/on-disconnect.js';
import { TakesPictures } from '../http/picture-routes.js';
import { MAX_WAIT_SECONDS, preferredWaitSeconds } from '../http/prefer.js';
import { releaseBody } from '../http/release-body.js';
import type { JobView } from './dto/job-schemas.js';
import { jobIdOf, orNoSuchJob } from './job-id.js';
import type { DebugView } from './dto/debug-schemas.js';
import { debugView } from './debug-view.js';
import { jobView } from './job-view.js';
import { DEFAULT_LIMIT, MAX_LIMIT, cursorBefore, listFilter } from './list-query.js';
import { AnswersJson, AnswersProblems, TakesJobId, TakesJson } from './openapi/answers.js';
import { jobPath } from './paths.js';
import { takenJobs } from './taken-jobs.js';
import { readBatch, readSubmission } from './validate-submission.js';

const BAD_BODY = [
  'malformed_json',
  'malformed_request',
  'body_too_large',
  'unsupported_media_type',
  'invalid_request',
] as const;

const NOT_TAKEN = ['queue_full', 'quota_exceeded', 'deadline_infeasible', 'unavailable', 'not_ready'] as const;

@ApiTags('jobs')
@Controller('v1/jobs')
export class JobsController {
  constructor(
    private readonly submitJobs: SubmitJobs,
    private readonly queryJobs: QueryJobs,
    private readonly queryWorkers: QueryWorkers,
    private readonly cancelJob: CancelJob,
    private readonly waitForJob: WaitForJob,
    private readonly log: LogConfig,
  ) {}

  @Post()
  @ApiOperation({ operationId: 'submitJob', summary: 'Submit a job' })
  @ApiHeader({ name: 'Idempotency-Key', required: false, description: 'The same key and body give the same job.' })
  @ApiHeader({
    name: 'Prefer',
    required: false,
    description: `\`wait=N\`: answer when the job is final, or after N seconds (at most ${MAX_WAIT_SECONDS}).`,
  })
  @ApiHeader({
    name: ON_DISCONNECT,
    required: false,
    schema: { type: 'string', enum: ['continue'] },
    description:
      '`continue`: the job goes on when the connection closes during the wait of `Prefer`. Absent: it is cancelled then, unless the request has an `Idempotency-Key`, whose repetition gives the job.',
  })
  @ApiHeader({
    name: CANCEL_AFTER,
    required: false,
    description:
      'A duration such as `90s`, `5m` or `1h`: the job expires when it has not ended by then, as with `finish_by`; the earlier of the two counts.',
  })
  @TakesPictures()
  @TakesJson('JobSubmission')
  @AnswersJson(202, 'Accepted: from here on the job is never lost.', 'Job', ['Location', 'Preference-Applied'])
  @AnswersJson(200, 'The job of an earlier request with this key, or final within the time waited.', 'Job', [
    'Location',
  ])
  @AnswersProblems(...BAD_BODY, 'idempotency_conflict', ...NOT_TAKEN)
  async submit(
    @Body() body: unknown,
    @Headers('idempotency-key') key: string | undefined,
    @Headers('prefer') prefer: string | undefined,
    @Headers(ON_DISCONNECT) onDisconnect: string | undefined,
    @Headers(CANCEL_AFTER) cancelAfter: string | undefined,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<JobView> {
    const within = cancelAfterMs(cancelAfter);
    const goesOn = goesOnWhenClientLeaves(onDisconnect);
    const caller = callerOf(request);
    const gone = untilClosed(response);
    const idempotencyKey = idempotencyKeyOf(key);
    const hasKey = idempotencyKey !== null;
    const { jobs, isNew } = await this.taken(body, within, idempotencyKey, { caller, gone });
    const submitted = jobs[0] as Job;
    releaseBody(request);
    const waitSeconds = preferredWaitSeconds(prefer);
    if (waitSeconds !== null) response.setHeader('Preference-Applied', `wait=${waitSeconds}`);
    const wait = { seconds: waitSeconds, gone, cancelWhenGone: !hasKey && !goesOn, caller };
    const job = waitSeconds === null ? submitted : await this.waitForJob.outcome(submitted, wait);
    response.status(isNew && !(waitSeconds !== null && isFinal(job.state)) ? 202 : 200);
    response.setHeader('Location', jobPath(job.id));
    return this.view(job);
  }

  @Post('batch')
  @ApiOperation({ operationId: 'submitBatch', summary: 'Submit several jobs, all or none' })
  @ApiHeader({ name: 'Idempotency-Key', required: false, description: 'The same key and body give the same jobs.' })
  @TakesPictures()
  @TakesJson('BatchSubmission')
  @AnswersJson(202, 'All were accepted; in the order of the requests.', 'JobBatch')
  @AnswersJson(200, 'The jobs of an earlier request with this key.', 'JobBatch')
  @AnswersProblems(...BAD_BODY, 'idempotency_conflict', ...NOT_TAKEN)
  async submitBatch(
    @Body() body: unknown,
    @Headers('idempotency-key') key: string | undefined,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<{ data: JobView[] }> {
    const inputs = readBatch(body, this.submitJobs);
    const origin = { caller: callerOf(request), batch: true, gone: untilClosed(response) };
    const idempotencyKey = idempotencyKeyOf(key);
    const result = await this.submitJobs.submit(inputs, idempotencyKey, origin);
    const { jobs, isNew } = takenJobs(result, idempotencyKey !== null);
    response.status(isNew ? 202 : 200);
    return { data: await Promise.all(jobs.map((job) => this.view(job))) };
  }

  @Get()
  @ApiOperation({ operationId: 'listJobs', summary: 'List jobs, newest first' })
  @ApiQuery({
    name: 'state',
    required: false,
    enum: JOB_STATES,
    isArray: true,
    description: 'Repeated, or separated by commas.',
  })
  @ApiQuery({ name: 'model', required: false, schema: { type: 'string' } })
  @ApiQuery({ name: 'priority', required: false, enum: PRIORITIES })
  @ApiQuery({
    name: 'limit',
    required: false,
    schema: { type: 'integer', minimum: 1, maximum: MAX_LIMIT, default: DEFAULT_LIMIT },
  })
  @ApiQuery({
    name: 'cursor',
    required: false,
    schema: { type: 'string' },
    description: '`next_cursor` of the page before.',
  })
  @AnswersJson(200, 'A page of jobs.', 'JobList')
  @AnswersProblems('invalid_request')
  async list(
    @Query() query: Record<string, unknown>,
    @Req() request: Request,
  ): Promise<{ data: JobView[]; next_cursor: string | null }> {
    const { snapshots, nextBeforeId } = await this.queryJobs.page(listFilter(query), callerOf(request));
    return { data: snapshots.map(jobView), next_cursor: nextBeforeId && cursorBefore(nextBeforeId) };
  }

  @Get(':id')
  @ApiOperation({ operationId: 'getJob', summary: 'Read a job' })
  @AnswersJson(200, 'The job.', 'Job')
  @TakesJobId()
  @AnswersProblems('job_not_found')
  async get(@Param('id') id: string, @Req() request: Request): Promise<JobView> {
    const snapshot = orNoSuchJob(await this.queryJobs.get(jobIdOf(id), callerOf(request)));
    return jobView(snapshot);
  }

  @Get(':id/debug')
  @ApiOperation({ operationId: 'debugJob', summary: 'Read all that is recorded of a job: what to send with a report' })
  @AnswersJson(200, 'The debug record.', 'DebugRecord')
  @TakesJobId()
  @AnswersProblems('job_not_found')
  async debug(@Param('id') id: string, @Req() request: Request): Promise<DebugView> {
    const snapshot = orNoSuchJob(await this.queryJobs.get(jobIdOf(id), callerOf(request)));
    return debugView(snapshot, await this.queryWorkers.list(), this.log.prompts);
  }

  @Post(':id/cancel')
  @HttpCode(202)
  @ApiOperation({
    operationId: 'cancelJob',
    summary: 'Cancel a job: at once while it waits, at the next step while it runs',
  })
  @AnswersJson(202, 'It is cancelled, or will be at its next step.', 'Job')
  @AnswersJson(200, 'It was final already and is unchanged.', 'Job')
  @TakesJobId()
  @AnswersProblems('job_not_found')
  async cancel(
    @Param('id') id: string,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<JobView> {
    const result = orNoSuchJob(await this.cancelJob.cancel(jobIdOf(id), callerOf(request)));
    response.status(result.changed ? 202 : 200);
    return this.view(result.job);
  }

  /** Apart from who waits for the job, so that nothing of the body is kept while it waits. */
  private async taken(
    body: unknown,
    finishWithinMs: number | undefined,
    idempotencyKey: string | null,
    origin: { readonly caller: Caller; readonly gone: AbortSignal },
  ): Promise<ReturnType<typeof takenJobs>> {
    const input = {
      ...readSubmission(body, this.submitJobs),
      ...(finishWithinMs !== undefined && { finish_within_ms: finishWithinMs }),
    };
    return takenJobs(await this.submitJobs.submit([input], idempotencyKey, origin), idempotencyKey !== null);
  }

  private async view(job: Job): Promise<JobView> {
    return jobView(await this.queryJobs.snapshotOfChanged(job));
  }
}
