import { Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';

import type { WorkerDescription } from '../../domain/placement/worker-description.js';
import { Drains } from '../../jobs/ports/drains.port.js';
import { WorkerInventory } from '../../jobs/ports/worker-inventory.port.js';
import { QueryWorkers } from '../../jobs/query/query-workers.js';
import { Admits } from '../access/admits.js';
import { Problem } from '../http/problem.js';
import type { WorkerView } from './dto/worker-schemas.js';
import { AnswersJson, AnswersProblems } from './openapi/answers.js';
import { workerView } from './worker-view.js';

@ApiTags('workers')
@Admits('operator')
@Controller('v1/workers')
export class WorkersController {
  constructor(
    private readonly workers: QueryWorkers,
    private readonly inventory: WorkerInventory,
    private readonly drains: Drains,
  ) {}

  @Admits('monitor', 'operator')
  @Get()
  @ApiOperation({ operationId: 'listWorkers', summary: 'List the worker processes of all nodes' })
  @AnswersJson(200, 'All workers.', 'WorkerList')
  async list(): Promise<{ data: WorkerView[] }> {
    return { data: (await this.workers.list()).map(workerView) };
  }

  @Post(':id/drain')
  @HttpCode(202)
  @ApiOperation({ operationId: 'drainWorker', summary: 'Give a worker of this node no more work, then end it' })
  @ApiParam({ name: 'id', schema: { type: 'string' } })
  @AnswersJson(202, 'The worker as it is now.', 'Worker')
  @AnswersProblems('worker_not_found')
  drain(@Param('id') id: string): WorkerView {
    return workerView(this.drains.drainWorker(id) ?? this.unknown(id));
  }

  @Post(':id/start')
  @HttpCode(202)
  @ApiOperation({ operationId: 'startWorker', summary: 'Start a worker of this node that was drained' })
  @ApiParam({ name: 'id', schema: { type: 'string' } })
  @AnswersJson(202, 'The worker as it is now.', 'Worker')
  @AnswersProblems('worker_not_found')
  start(@Param('id') id: string): WorkerView {
    return workerView(this.drains.startWorker(id) ?? this.unknown(id));
  }

  private unknown(id: string): WorkerDescription {
    const limit = this.inventory.list().map((worker) => worker.id);
    throw new Problem('worker_not_found', 'this node has no such worker', {
      errors: [{ field: 'id', message: 'no such worker on this node', value: id, limit }],
    });
  }
}
