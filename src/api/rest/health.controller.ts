import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';

import { Drains } from '../../jobs/ports/drains.port.js';
import { WorkerInventory } from '../../jobs/ports/worker-inventory.port.js';
import { AdmitsAll } from '../access/admits.js';
import { Problem } from '../http/problem.js';
import type { ReadinessView } from './dto/worker-schemas.js';
import { Answers, AnswersJson, AnswersProblems } from './openapi/answers.js';
import { readinessView } from './worker-view.js';

/** Workers come back within seconds of a crash; asking more often than this tells nothing new. */
const RETRY_AFTER_SECONDS = 2;

@ApiTags('health')
@AdmitsAll()
@Controller('health')
export class HealthController {
  constructor(
    private readonly workers: WorkerInventory,
    private readonly drains: Drains,
  ) {}

  @Get('live')
  @ApiOperation({ operationId: 'isLive', summary: 'Whether the event loop answers' })
  @Answers(200, 'It does.', ['application/json'])
  live(): { live: true } {
    return { live: true };
  }

  @Get('ready')
  @ApiOperation({
    operationId: 'isReady',
    summary: 'Whether this node takes jobs and a worker takes work, with a reason for each that does not',
  })
  @AnswersJson(200, 'At least one worker takes work.', 'Readiness')
  @AnswersProblems('not_ready')
  ready(): ReadinessView {
    const node = this.drains.nodeState();
    const readiness = readinessView(node, this.workers.list());
    if (readiness.ready) return readiness;
    const reasons = readiness.workers.flatMap(({ id, reason }) => (reason === null ? [] : [`${id}: ${reason}`]));
    const whole = node === 'serving' ? [] : [`the node is ${node} and takes no jobs`];
    const detail = [...whole, ...reasons].join('; ');
    throw new Problem('not_ready', detail === '' ? 'no worker was started' : detail, {
      headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) },
      extensions: { ...readiness },
    });
  }
}
