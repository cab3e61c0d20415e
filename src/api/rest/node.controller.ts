import { Controller, Get, HttpCode, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';

import { Drains } from '../../jobs/ports/drains.port.js';
import { JobStore } from '../../jobs/ports/job-store.port.js';
import { NodeIdentity } from '../../jobs/ports/node-identity.js';
import { WorkerInventory } from '../../jobs/ports/worker-inventory.port.js';
import { Admits } from '../access/admits.js';
import type { NodeView } from './dto/node-schemas.js';
import { AnswersJson } from './openapi/answers.js';

@ApiTags('workers')
@Admits('operator')
@Controller('v1/node')
export class NodeController {
  constructor(
    private readonly drains: Drains,
    private readonly identity: NodeIdentity,
    private readonly store: JobStore,
    private readonly workers: WorkerInventory,
  ) {}

  @Admits('monitor', 'operator')
  @Get()
  @ApiOperation({ operationId: 'getNode', summary: 'This node: whether it takes work, and how much it has' })
  @AnswersJson(200, 'The node.', 'Node')
  get(): NodeView {
    return {
      id: this.identity.id,
      name: this.identity.name,
      state: this.drains.nodeState(),
      running: this.workers.list().reduce((sum, { running }) => sum + running, 0),
      shared: this.store.isShared,
    };
  }

  @Post('drain')
  @HttpCode(202)
  @ApiOperation({ operationId: 'drainNode', summary: 'Take no more jobs and empty all workers of this node' })
  @AnswersJson(202, 'It drains, or has drained.', 'Node')
  drain(): NodeView {
    this.drains.drainNode();
    return this.get();
  }
}
