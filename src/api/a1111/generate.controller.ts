import { Body, Controller, HttpCode, Post, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Request, Response } from 'express';

import type { Caller } from '../../domain/access/caller.js';
import type { Failure } from '../../domain/failure/failure.js';
import { isFinal } from '../../domain/job/job-state.js';
import type { Job } from '../../domain/job/job.js';
import { ArtifactStore } from '../../jobs/ports/artifact-store.port.js';
import { ModelCatalog } from '../../jobs/ports/model-catalog.port.js';
import { SubmitJobs } from '../../jobs/submit/submit-jobs.js';
import { WaitForJob } from '../../jobs/watch/wait-for-job.js';
import { callerOf } from '../http/caller-of.js';
import { untilClosed } from '../http/client-gone.js';
import { FAILURE_STATUS } from '../http/failure-status.js';
import { TakesPictures } from '../http/picture-routes.js';
import { releaseBody } from '../http/release-body.js';
import { stoppedWaiting } from '../http/unavailable.js';
import { AnswersJson, TakesJson } from '../rest/openapi/answers.js';
import { takenJobs } from '../rest/taken-jobs.js';
import { errorBody, fieldErrorBody } from './a1111-errors.js';
import { CallerModels } from './caller-models.js';
import type { GenerationFields } from './dto/generation-fields.js';
import { nameHere, problemHere } from './field-names.js';
import { infoOf, parametersOf } from './generation-answer.js';
import { AnswersA1111Errors } from './openapi.js';
import type { Task } from './read-generation.js';
import { readGeneration } from './read-generation.js';
import { readPictures } from './read-pictures.js';
import { newTaskId, TASK_KEY, Tasks } from './tasks.js';

interface Submitted {
  /** Of the task. */
  readonly id: string;
  readonly job: Job;
  readonly parameters: Record<string, unknown>;
  readonly wanted: Pick<GenerationFields, 'send_images' | 'subseed' | 'batch_size'>;
}

/** Pictures for clients of AUTOMATIC1111. A request is a job like any other, and ends with its connection. */
@ApiTags('AUTOMATIC1111')
@Controller('sdapi/v1')
export class A1111GenerateController {
  constructor(
    private readonly submitJobs: SubmitJobs,
    private readonly waitForJob: WaitForJob,
    private readonly models: ModelCatalog,
    private readonly artifacts: ArtifactStore,
    private readonly tasks: Tasks,
    private readonly callerModels: CallerModels,
  ) {}

  @Post('txt2img')
  @HttpCode(200)
  @ApiOperation({ operationId: 'a1111TextToImage', summary: 'Make pictures from a prompt' })
  @TakesPictures()
  @TakesJson('A1111TextToImage')
  @AnswersJson(200, 'The pictures; none when the request was interrupted.', 'A1111Pictures')
  @AnswersA1111Errors(401, 422, 429, 503)
  textToImage(
    @Body() body: unknown,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Record<string, unknown>> {
    return this.generate('txt2img', body, request, response);
  }

  @Post('img2img')
  @HttpCode(200)
  @ApiOperation({ operationId: 'a1111ImageToImage', summary: 'Make pictures from a picture' })
  @TakesPictures()
  @TakesJson('A1111ImageToImage')
  @AnswersJson(200, 'The pictures; none when the request was interrupted.', 'A1111Pictures')
  @AnswersA1111Errors(401, 422, 429, 503)
  imageToImage(
    @Body() body: unknown,
    @Req() request: Request,
    @Res({ passthrough: true }) response: Response,
  ): Promise<Record<string, unknown>> {
    return this.generate('img2img', body, request, response);
  }

  private async generate(
    task: Task,
    body: unknown,
    request: Request,
    response: Response,
  ): Promise<Record<string, unknown>> {
    const caller = callerOf(request);
    const gone = untilClosed(response);
    const { id, job, parameters, wanted } = await this.submit(task, body, { caller, gone });
    releaseBody(request);
    const release = this.tasks.hold({ id, jobId: job.id, client: caller.client });
    try {
      const done = await this.waitForJob.outcome(job, { seconds: null, gone, cancelWhenGone: true, caller });
      // Nobody is left to answer.
      if (gone.aborted) return {};
      if (!isFinal(done.state)) throw stoppedWaiting();
      // Cancelled is what `/interrupt` asked for, which clients expect to end well.
      if (done.failure !== null && done.state !== 'succeeded' && done.state !== 'cancelled')
        return failed(done.failure, response);
      const images = wanted.send_images === false ? [] : await readPictures(done, this.artifacts);
      return { images, parameters, info: JSON.stringify(infoOf(done, wanted)) };
    } finally {
      release();
    }
  }

  /** The job of a request, and what its answer needs to know of it: whatever else it held may go while the job waits. */
  private async submit(
    task: Task,
    body: unknown,
    { caller, gone }: { readonly caller: Caller; readonly gone: AbortSignal },
  ): Promise<Submitted> {
    const model = this.callerModels.modelOf(caller);
    const { input, fields } = readGeneration(task, body, {
      models: this.models,
      judge: this.submitJobs,
      model,
    });
    const id = nonEmpty(fields.force_task_id) ?? newTaskId(task);
    const asked = { ...input, metadata: { [TASK_KEY]: id } };
    const result = await this.submitJobs.submit([asked], null, { caller, gone });
    const told = result.outcome === 'invalid' ? { ...result, problems: result.problems.map(problemHere) } : result;
    const [job] = takenJobs(told, false).jobs as [Job];
    const { send_images, subseed, batch_size } = fields;
    const parameters = parametersOf(task, body as Record<string, unknown>, fields, job);
    return { id, job, parameters, wanted: { send_images, subseed, batch_size } };
  }
}

function failed(failure: Failure, response: Response): Record<string, unknown> {
  const { kind, message, field = null } = failure;
  response.status(FAILURE_STATUS[kind]);
  if (field === null) return errorBody(kind, message);
  return fieldErrorBody([{ field: nameHere(field), message, value: null, limit: null }]);
}

function nonEmpty(id: string | undefined): string | null {
  return id === undefined || id === '' ? null : id;
}
