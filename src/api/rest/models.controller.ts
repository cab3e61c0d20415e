import { Controller, Get, Param } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';

import type { ModelDescription } from '../../domain/generation/model-description.js';
import { Clock } from '../../jobs/ports/clock.port.js';
import { ModelCatalog } from '../../jobs/ports/model-catalog.port.js';
import { WorkerInventory } from '../../jobs/ports/worker-inventory.port.js';
import { Admits } from '../access/admits.js';
import { Problem } from '../http/problem.js';
import type { ModelAnswer, ModelListAnswer } from './dto/model-schemas.js';
import { modelView } from './model-view.js';
import { AnswersJson, AnswersProblems } from './openapi/answers.js';

@ApiTags('models')
@Admits('user', 'monitor', 'operator')
@Controller('v1/models')
export class ModelsController {
  /** Epoch milliseconds; models are fixed after start. */
  private readonly servedSince: number;

  constructor(
    private readonly models: ModelCatalog,
    private readonly workers: WorkerInventory,
    clock: Clock,
  ) {
    this.servedSince = clock.now();
  }

  @Get()
  @ApiOperation({ operationId: 'listModels', summary: 'List the models, with limits and defaults' })
  @AnswersJson(200, 'All models this server was told to serve.', 'ModelList')
  list(): ModelListAnswer {
    return { object: 'list', data: this.models.list().map((model) => this.answer(model)) };
  }

  @Get(':id')
  @ApiOperation({ operationId: 'getModel', summary: 'Read a model' })
  @AnswersJson(200, 'The model.', 'Model')
  @AnswersProblems('model_not_found')
  get(@Param('id') id: string): ModelAnswer {
    const model = this.models.find(id);
    if (model === null) throw new Problem('model_not_found', 'no model with this id is served');
    return this.answer(model);
  }

  /** One answer that serves our own clients and those of OpenAI. */
  private answer(model: ModelDescription): ModelAnswer {
    const { id, ...view } = modelView(model, this.workers.list());
    const created = Math.floor(this.servedSince / 1000);
    return { id, object: 'model', created, owned_by: 'safelight', aliases: [...model.aliases], ...view };
  }
}
