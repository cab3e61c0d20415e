import type { MiddlewareConsumer, NestModule } from '@nestjs/common';
import { Module } from '@nestjs/common';

import { JsonBodyMiddleware } from './http/json-body.middleware.js';
import { ArtifactsController } from './rest/artifacts.controller.js';
import { HealthController } from './rest/health.controller.js';
import { JobEventsController } from './rest/job-events.controller.js';
import { JobsController } from './rest/jobs.controller.js';
import { MetricsController } from './rest/metrics.controller.js';
import { ModelsController } from './rest/models.controller.js';
import { NodeController } from './rest/node.controller.js';
import { PreviewController } from './rest/preview.controller.js';
import { PreviewInterest } from './rest/preview-interest.js';
import { RootController } from './rest/root.controller.js';
import { WaitForJob } from './rest/wait-for-job.js';
import { WorkersController } from './rest/workers.controller.js';

/** The REST edge. Use cases, ports and configuration come from the composition root, which provides them globally. */
@Module({
  controllers: [
    JobsController,
    JobEventsController,
    ArtifactsController,
    PreviewController,
    ModelsController,
    WorkersController,
    NodeController,
    HealthController,
    MetricsController,
    RootController,
  ],
  providers: [PreviewInterest, WaitForJob],
})
export class ApiModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(JsonBodyMiddleware).forRoutes(JobsController);
  }
}
