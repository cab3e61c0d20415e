import { Body, Controller, Get, HttpCode, Post, Req } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Request } from 'express';

import { ModelCatalog } from '../../jobs/ports/model-catalog.port.js';
import { callerOf } from '../http/caller-of.js';
import { invalidFields, Problem } from '../http/problem.js';
import { isObject } from '../http/read-fields.js';
import { Answers, AnswersJson, TakesJson } from '../rest/openapi/answers.js';
import { CallerModels } from './caller-models.js';
import { findModel } from './model-names.js';
import { AnswersA1111Errors } from './openapi.js';
import { settingProblems, shownSettings } from './settings.js';

/** The settings of AUTOMATIC1111, of which a caller has one: the model of its requests that name none. */
@ApiTags('AUTOMATIC1111')
@Controller('sdapi/v1/options')
export class A1111OptionsController {
  constructor(
    private readonly models: ModelCatalog,
    private readonly callerModels: CallerModels,
  ) {}

  @Get()
  @ApiOperation({ operationId: 'a1111Options', summary: 'Read the settings' })
  @AnswersJson(200, 'Those that clients look at.', 'A1111Options')
  @AnswersA1111Errors(401)
  read(@Req() request: Request): Record<string, unknown> {
    return shownSettings(this.callerModels.modelOf(callerOf(request)).id);
  }

  @Post()
  @HttpCode(200)
  @ApiOperation({ operationId: 'a1111SetOptions', summary: 'Choose the model of requests that name none' })
  @TakesJson('A1111Options')
  @Answers(200, 'Chosen, for this caller. Settings that change no picture are passed over.', ['application/json'])
  @AnswersA1111Errors(401, 422)
  write(@Body() body: unknown, @Req() request: Request): object {
    if (!isObject(body)) throw new Problem('malformed_request', 'the body must be a JSON object');
    const problems = settingProblems(body);
    const named = body['sd_model_checkpoint'] ?? null;
    const model = findModel(named, this.models);
    if (named !== null && model === null) {
      const limit = this.models.list().map(({ id }) => id);
      problems.push({ field: 'sd_model_checkpoint', message: 'no such model is served', value: named, limit });
    }
    if (problems.length > 0) throw invalidFields(problems);
    if (model !== null) this.callerModels.choose(callerOf(request), model);
    return {};
  }
}
