import { Body, Controller, Get, HttpCode, Param, Post, Req, Res } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Request, Response } from 'express';

import { isFinal } from '../../domain/job/job-state.js';
import type { Job } from '../../domain/job/job.js';
import type { GenerationInput } from '../../jobs/submit/generation-input.js';
import { SubmitJobs } from '../../jobs/submit/submit-jobs.js';
import { WaitForJob } from '../../jobs/watch/wait-for-job.js';
import { AdmitsAll } from '../access/admits.js';
import { ArtifactLinks } from '../access/artifact-links.js';
import { callerOf } from '../http/caller-of.js';
import { untilClosed } from '../http/client-gone.js';
import { FAILURE_STATUS } from '../http/failure-status.js';
import { invalidFields, Problem } from '../http/problem.js';
import { isObject, knownFields, readFields } from '../http/read-fields.js';
import { stoppedWaiting } from '../http/unavailable.js';
import { AnswersErrors, AnswersJson, TakesJson } from '../rest/openapi/answers.js';
import { artifactPath } from '../rest/paths.js';
import { takenJobs } from '../rest/taken-jobs.js';
import type { InferenceFields } from './dto.js';
import { InferenceFields as Inference } from './dto.js';
import { inferenceError } from './inference-errors.js';
import { pictureName, readPictureName } from './picture-name.js';

/** The routes of the servers before this one. A request is a job like any other, and ends with its connection. */
@ApiTags('predecessors')
@Controller()
export class InferenceController {
  constructor(
    private readonly submitJobs: SubmitJobs,
    private readonly waitForJob: WaitForJob,
    private readonly links: ArtifactLinks,
  ) {}

  @Post('api/diffusers/inference')
  @HttpCode(200)
  @ApiOperation({ operationId: 'diffusersInference', summary: 'Make pictures, and answer with their addresses' })
  @TakesJson('InferenceRequest')
  @AnswersJson(200, 'The pictures.', 'InferencePictures')
  @AnswersErrors('InferenceError', 401, 422, 429, 503)
  inference(
    @Body() body: unknown,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Record<string, unknown>> {
    return this.generate(body, request, response);
  }

  @Post('api/v1/content/generate')
  @HttpCode(200)
  @ApiOperation({ operationId: 'generateContent', summary: 'Make pictures, and answer with their addresses' })
  @TakesJson('InferenceRequest')
  @AnswersJson(200, 'The pictures.', 'InferencePictures')
  @AnswersErrors('InferenceError', 401, 422, 429, 503)
  content(
    @Body() body: unknown,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Record<string, unknown>> {
    return this.generate(body, request, response);
  }

  // The name may hold a signature; the address it leads to asks for a key where it does not.
  @AdmitsAll()
  @Get('images/:name')
  @ApiExcludeEndpoint()
  picture(@Param('name') name: string, @Res() response: Response): void {
    const found = readPictureName(name);
    if (found === null) throw new Problem('artifact_not_found', 'no picture has this name');
    // Relative: a proxy may have put a path in front of both.
    response.redirect(`..${artifactPath(found.jobId, Number(found.index))}${found.query}`);
  }

  private async generate(body: unknown, request: Request, response: Response): Promise<Record<string, unknown>> {
    const input = readInference(body);
    const caller = callerOf(request);
    const gone = untilClosed(response);
    const [job] = takenJobs(await this.submitJobs.submit([input], null, { caller, gone }), false).jobs as [Job];
    const done = await this.waitForJob.outcome(job, { seconds: null, gone, cancelWhenGone: true, caller });
    if (!isFinal(done.state)) throw stoppedWaiting();
    if (done.state !== 'succeeded') {
      const { kind, message } = done.failure ?? { kind: 'cancelled' as const, message: 'the job was cancelled' };
      response.status(FAILURE_STATUS[kind]);
      return inferenceError(message);
    }
    return { response: done.artifacts.map(({ index }) => this.address(request, done.id, index)) };
  }

  /** The file name under `/images/`, where the clients look for it whatever address they are told. */
  private address(request: Request, jobId: string, index: number): string {
    const artifact = this.links.absolute(request, jobId, index);
    const base = artifact.slice(0, artifact.indexOf(artifactPath(jobId, index)));
    return `${base}/images/${pictureName(artifact)}`;
  }
}

/** Fields that are not known are passed over, as the predecessors did. */
function readInference(body: unknown): GenerationInput {
  if (!isObject(body)) throw new Problem('malformed_request', 'the body must be a JSON object');
  const { fields, problems } = readFields(Inference.shape, knownFields(Inference.shape, body));
  if (problems.length > 0) throw invalidFields(problems);
  const { prompt = '', num_images_per_prompt, num_images, type_models: _only, ...rest } = fields;
  const count = num_images_per_prompt ?? num_images;
  return { prompt, output_format: 'png', ...withoutNulls(rest), ...(count != null && { num_images: count }) };
}

type Rest = Partial<Omit<InferenceFields, 'prompt' | 'num_images' | 'num_images_per_prompt' | 'type_models'>>;

function withoutNulls(fields: Rest): Partial<GenerationInput> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null));
}
