import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';

import { WorkerInventory } from '../../jobs/ports/worker-inventory.port.js';
import type { WorkerView } from './dto/worker-schemas.js';
import { AnswersJson } from './openapi/answers.js';
import { workerView } from './worker-view.js';

@ApiTags('workers')
@Controller('v1/workers')
export class WorkersController {
  constructor(private readonly workers: WorkerInventory) {}

  @Get()
  @ApiOperation({ operationId: 'listWorkers', summary: 'List the worker processes of this node' })
  @AnswersJson(200, 'All workers.', 'WorkerList')
  list(): { data: WorkerView[] } {
    return { data: this.workers.list().map(workerView) };
  }
}
