import { pipeline } from 'node:stream/promises';

import { Controller, Get, Headers, Inject, Param, Query, Res } from '@nestjs/common';
import { ApiOperation, ApiParam, ApiQuery, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import type { Logger } from 'pino';

import type { Caller } from '../../domain/access/caller.js';
import { OPERATOR } from '../../domain/access/caller.js';
import type { Artifact } from '../../domain/job/job.js';
import { ArtifactStore } from '../../jobs/ports/artifact-store.port.js';
import { QueryJobs } from '../../jobs/query/query-jobs.js';
import { LOG } from '../../telemetry/log.js';
import { AdmitsAll } from '../access/admits.js';
import { ArtifactLinks } from '../access/artifact-links.js';
import { callerOf } from '../http/caller-of.js';
import { matchesEtag, strongEtag } from '../http/etag.js';
import { artifactOf, noSuchArtifact } from './artifact-of.js';
import { jobIdOf, orNoSuchJob } from './job-id.js';
import { Answers, AnswersProblems, TakesJobId } from './openapi/answers.js';

const YEAR_SECONDS = 365 * 24 * 60 * 60;

@ApiTags('artifacts')
@Controller('v1/jobs/:id/artifacts')
export class ArtifactsController {
  constructor(
    private readonly queryJobs: QueryJobs,
    private readonly artifacts: ArtifactStore,
    private readonly links: ArtifactLinks,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  // A signed link needs no key; without one the caller is asked for below.
  @AdmitsAll()
  @Get(':index')
  @ApiOperation({ operationId: 'getArtifact', summary: 'Read a picture or a video' })
  @Answers(200, 'The bytes; the entity tag is their SHA-256.', ['image/png', 'image/webp', 'image/jpeg', 'video/mp4'])
  @Answers(304, 'The client has it already.')
  @TakesJobId()
  @ApiParam({ name: 'index', schema: { type: 'integer', minimum: 0 } })
  @ApiQuery({
    name: 'expires',
    required: false,
    schema: { type: 'integer' },
    description: 'Of a signed link, which needs no key: when it ends, in seconds since 1970.',
  })
  @ApiQuery({ name: 'signature', required: false, schema: { type: 'string' }, description: 'Of a signed link.' })
  @AnswersProblems('job_not_found', 'artifact_not_found')
  async get(
    @Param('id') id: string,
    @Param('index') index: string,
    @Query() query: Record<string, unknown>,
    @Headers('if-none-match') ifNoneMatch: string | undefined,
    @Res() response: Response,
  ): Promise<void> {
    const jobId = jobIdOf(id);
    const caller = this.links.isSigned(jobId, index, query) ? OPERATOR : callerOf(response.req);
    const artifact = await this.find(jobId, index, caller);
    const etag = strongEtag(artifact.sha256);
    response.setHeader('ETag', etag);
    response.setHeader('Cache-Control', `private, max-age=${YEAR_SECONDS}, immutable`);
    if (matchesEtag(ifNoneMatch, etag)) {
      response.status(304).end();
      return;
    }
    const opened = await this.artifacts.open(artifact.key);
    if (opened === null) {
      this.log.error({ job: jobId, artifact: artifact.index }, 'an artifact is on record, but its file is gone');
      throw noSuchArtifact();
    }
    const [, extension = 'bin'] = artifact.mediaType.split('/');
    response.status(200);
    response.setHeader('Content-Type', artifact.mediaType);
    response.setHeader('Content-Length', opened.bytes);
    response.setHeader('Content-Disposition', `inline; filename="${jobId}-${artifact.index}.${extension}"`);
    if (response.req.method === 'HEAD') {
      opened.stream.destroy();
      response.end();
      return;
    }
    await pipeline(opened.stream, response).catch((error: unknown) => {
      // A client that has seen enough closes the connection; only our own side failing is worth a line.
      if (opened.stream.errored !== null && !isPrematureClose(error)) throw error;
    });
  }

  private async find(jobId: string, index: string, caller: Caller): Promise<Artifact> {
    const snapshot = orNoSuchJob(await this.queryJobs.get(jobId, caller));
    return artifactOf(snapshot.job, /^\d{1,4}$/.test(index) ? Number(index) : Number.NaN);
  }
}

function isPrematureClose(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE';
}
