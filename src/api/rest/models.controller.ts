import { Controller, Get, Param } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';

import { ModelCatalog } from '../../jobs/ports/model-catalog.port.js';
import { WorkerInventory } from '../../jobs/ports/worker-inventory.port.js';
import { Problem } from '../http/problem.js';
import type { ModelView } from './dto/model-schemas.js';
import { modelView } from './model-view.js';
import { AnswersJson, AnswersProblems } from './openapi/answers.js';

@ApiTags('models')
@Controller('v1/models')
export class ModelsController {
  constructor(
    private readonly models: ModelCatalog,
    private readonly workers: WorkerInventory,
  ) {}

  @Get()
  @ApiOperation({ operationId: 'listModels', summary: 'List the models, with limits and defaults' })
  @AnswersJson(200, 'All models this server was told to serve.', 'ModelList')
  list(): { data: ModelView[] } {
    const workers = this.workers.list();
    return { data: this.models.list().map((model) => modelView(model, workers)) };
  }

  @Get(':id')
  @ApiOperation({ operationId: 'getModel', summary: 'Read a model' })
  @AnswersJson(200, 'The model.', 'Model')
  @AnswersProblems('model_not_found')
  get(@Param('id') id: string): ModelView {
    const model = this.models.find(id);
    if (model === null) throw new Problem('model_not_found', 'no model with this id is served');
    return modelView(model, this.workers.list());
  }
}
