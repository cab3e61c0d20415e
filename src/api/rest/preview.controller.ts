import { createHash } from 'node:crypto';

import { Controller, Get, Headers, Param, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';

import { isFinal } from '../../domain/job/job-state.js';
import { JobEvents } from '../../jobs/ports/job-events.port.js';
import { QueryJobs } from '../../jobs/query/query-jobs.js';
import { callerOf } from '../http/caller-of.js';
import { matchesEtag, strongEtag } from '../http/etag.js';
import { Problem } from '../http/problem.js';
import { jobIdOf, orNoSuchJob } from './job-id.js';
import { Answers, AnswersProblems, TakesJobId } from './openapi/answers.js';
import { PreviewInterest } from './preview-interest.js';

@ApiTags('artifacts')
@Controller('v1/jobs/:id/preview')
export class PreviewController {
  constructor(
    private readonly queryJobs: QueryJobs,
    private readonly events: JobEvents,
    private readonly interest: PreviewInterest,
  ) {}

  @Get()
  @ApiOperation({ operationId: 'getPreview', summary: 'Read the latest preview frame of a running job' })
  @Answers(200, 'The frame. Asking again within a few seconds keeps previews on.', [
    'image/png',
    'image/jpeg',
    'image/webp',
  ])
  @Answers(304, 'There is no newer frame.')
  @TakesJobId()
  @AnswersProblems('job_not_found', 'preview_not_found')
  async get(
    @Param('id') given: string,
    @Headers('if-none-match') ifNoneMatch: string | undefined,
    @Res() response: Response,
  ): Promise<void> {
    const id = jobIdOf(given);
    const snapshot = orNoSuchJob(await this.queryJobs.get(id, callerOf(response.req)));
    if (!isFinal(snapshot.job.state)) this.interest.show(id);
    const frame = this.events.latestPreview(id);
    if (frame === null)
      throw new Problem('preview_not_found', `the job is ${snapshot.job.state} and has no preview frame`);
    const etag = strongEtag(createHash('sha256').update(frame.data).digest('hex'));
    response.setHeader('ETag', etag);
    // Kept, but asked about every time: the next frame has the same address.
    response.setHeader('Cache-Control', 'private, no-cache');
    if (matchesEtag(ifNoneMatch, etag)) response.status(304).end();
    else response.status(200).setHeader('Content-Type', frame.mediaType).end(frame.data);
  }
}
