import { Body, Controller, Get, HttpCode, Post, Query, Req } from '@nestjs/common';
import { ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import type { Request } from 'express';

import type { PreviewFrame } from '../../domain/job/job-event.js';
import type { Caller } from '../../domain/access/caller.js';
import { CancelJob } from '../../jobs/cancel/cancel-job.js';
import { JobEvents } from '../../jobs/ports/job-events.port.js';
import { callerOf } from '../http/caller-of.js';
import { invalidFields } from '../http/problem.js';
import { isObject, knownFields, readFields } from '../http/read-fields.js';
import { Answers, AnswersJson, TakesJson } from '../rest/openapi/answers.js';
import { PreviewInterest } from '../rest/preview-interest.js';
import { TaskProgressFields } from './dto/task-progress.js';
import { AnswersA1111Errors, TakesTaskId } from './openapi.js';
import { progressView, taskView } from './progress-view.js';
import { Tasks } from './tasks.js';

/** How far the caller's own requests are, and how they are stopped. Nobody else's are seen or touched. */
@ApiTags('AUTOMATIC1111')
@Controller()
export class A1111ProgressController {
  constructor(
    private readonly tasks: Tasks,
    private readonly cancelJob: CancelJob,
    private readonly events: JobEvents,
    private readonly interest: PreviewInterest,
  ) {}

  @Get('sdapi/v1/progress')
  @ApiOperation({ operationId: 'a1111Progress', summary: 'How far the caller’s requests are' })
  @ApiQuery({ name: 'skip_current_image', required: false, schema: { type: 'boolean' } })
  @TakesTaskId()
  @AnswersJson(200, 'Of the one that runs longest; of none, all is 0.', 'A1111Progress')
  @AnswersA1111Errors(401)
  async progress(@Query() query: Record<string, unknown>, @Req() request: Request): Promise<Record<string, unknown>> {
    const jobs = await this.tasks.unfinished(callerOf(request), taskIdIn(query));
    const skip = query['skip_current_image'];
    const skipped = typeof skip === 'string' && /^(?:true|1|yes|on)$/i.test(skip);
    return progressView(jobs, skipped ? null : this.frameOf(jobs[0]?.job));
  }

  @Post('internal/progress')
  @HttpCode(200)
  @ApiOperation({ operationId: 'a1111TaskProgress', summary: 'How far one request is, by its `force_task_id`' })
  @TakesJson('A1111TaskProgressRequest')
  @AnswersJson(
    200,
    'Of a request nobody knows, or of somebody else: neither active, queued nor completed.',
    'A1111TaskProgress',
  )
  @AnswersA1111Errors(401, 422)
  async taskProgress(@Body() body: unknown, @Req() request: Request): Promise<Record<string, unknown>> {
    const caller = callerOf(request);
    const { shape } = TaskProgressFields;
    const { fields, problems } = readFields(shape, isObject(body) ? knownFields(shape, body) : {});
    if (problems.length > 0) throw invalidFields(problems);
    const { id_task: id = '', id_live_preview: known = -1, live_preview: wanted = true } = fields;
    const [snapshot] = id === '' ? [] : await this.tasks.unfinished(caller, id);
    const frame = wanted ? this.frameOf(snapshot?.job) : null;
    return taskView(snapshot, { isFinished: this.tasks.hasFinished(caller, id), frame, known });
  }

  @Post('sdapi/v1/interrupt')
  @HttpCode(200)
  @ApiOperation({
    operationId: 'a1111Interrupt',
    summary: 'End the caller’s requests that run, or the next of them if none does',
  })
  @TakesTaskId()
  @Answers(200, 'They end at their next step, each with an answer that holds no pictures.', ['application/json'])
  @AnswersA1111Errors(401)
  interrupt(@Query() query: Record<string, unknown>, @Body() body: unknown, @Req() request: Request): Promise<object> {
    return this.stop(callerOf(request), taskIdIn(query) ?? taskIdIn(body));
  }

  @Post('sdapi/v1/skip')
  @HttpCode(200)
  @ApiOperation({
    operationId: 'a1111Skip',
    summary: 'As `interrupt`: the pictures of a request are made together, and none of them can be left out',
  })
  @TakesTaskId()
  @Answers(200, 'They end at their next step, each with an answer that holds no pictures.', ['application/json'])
  @AnswersA1111Errors(401)
  skip(@Query() query: Record<string, unknown>, @Body() body: unknown, @Req() request: Request): Promise<object> {
    return this.stop(callerOf(request), taskIdIn(query) ?? taskIdIn(body));
  }

  private async stop(caller: Caller, taskId: string | null): Promise<object> {
    const jobs = await this.tasks.unfinished(caller, taskId);
    const running = jobs.filter(({ job }) => job.state === 'running');
    const meant = running.length > 0 ? running : jobs.slice(0, 1);
    await Promise.all(meant.map(({ job }) => this.cancelJob.cancel(job.id, caller)));
    return {};
  }

  /** The latest frame. Asking keeps previews on for a few seconds. */
  private frameOf(job: { readonly id: string; readonly state: string } | undefined): PreviewFrame | null {
    if (job?.state !== 'running') return null;
    this.interest.show(job.id);
    return this.events.latestPreview(job.id);
  }
}

/** Not a field of AUTOMATIC1111's: there everybody stops everybody. */
function taskIdIn(given: unknown): string | null {
  const id = isObject(given) ? given['force_task_id'] : null;
  return typeof id === 'string' && id !== '' ? id : null;
}
