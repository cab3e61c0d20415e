import { Controller, Get, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';

import { Metrics } from '../../metrics/metrics.js';
import { Admits } from '../access/admits.js';
import { Answers } from './openapi/answers.js';

@ApiTags('health')
@Admits('monitor', 'operator')
@Controller('metrics')
export class MetricsController {
  constructor(private readonly metrics: Metrics) {}

  @Get()
  @ApiOperation({ operationId: 'getMetrics', summary: 'Metrics for Prometheus' })
  @Answers(200, 'In the text format of Prometheus.', ['text/plain'])
  async get(@Res() response: Response): Promise<void> {
    const { contentType, body } = await this.metrics.render();
    response.status(200).setHeader('Content-Type', contentType).end(body);
  }
}
