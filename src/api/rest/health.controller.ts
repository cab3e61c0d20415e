import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';

import { WorkerInventory } from '../../jobs/ports/worker-inventory.port.js';
import { Problem } from '../http/problem.js';
import type { ReadinessView } from './dto/worker-schemas.js';
import { Answers, AnswersJson, AnswersProblems } from './openapi/answers.js';
import { readinessView } from './worker-view.js';

/** Workers come back within seconds of a crash; asking more often than this tells nothing new. */
const RETRY_AFTER_SECONDS = 2;

@ApiTags('health')
@Controller('health')
export class HealthController {
  constructor(private readonly workers: WorkerInventory) {}

  @Get('live')
  @ApiOperation({ operationId: 'isLive', summary: 'Whether the event loop answers' })
  @Answers(200, 'It does.', ['application/json'])
  live(): { live: true } {
    return { live: true };
  }

  @Get('ready')
  @ApiOperation({
    operationId: 'isReady',
    summary: 'Whether a worker takes work, with a reason for each that does not',
  })
  @AnswersJson(200, 'At least one worker takes work.', 'Readiness')
  @AnswersProblems('not_ready')
  ready(): ReadinessView {
    const readiness = readinessView(this.workers.list());
    if (readiness.ready) return readiness;
    const reasons = readiness.workers.map(({ id, reason }) => `${id}: ${reason}`).join('; ');
    throw new Problem('not_ready', reasons === '' ? 'no worker was started' : reasons, {
      headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) },
      extensions: { ...readiness },
    });
  }
}
