import type { MiddlewareConsumer, NestModule } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';

import { A1111_CONTROLLERS, A1111_PROVIDERS } from './a1111/a1111.js';
import { AccessGuard } from './access/access.guard.js';
import { ArtifactLinks } from './access/artifact-links.js';
import { Authenticate } from './access/authenticate.js';
import { IdentifyMiddleware } from './access/identify.middleware.js';
import { ForeignPagesMiddleware } from './http/foreign-pages.middleware.js';
import { JsonBodyMiddleware } from './http/json-body.middleware.js';
import { PictureRoutes } from './http/picture-routes.js';
import { ImageEditsController } from './openai/image-edits.controller.js';
import { ImageGenerationsController } from './openai/image-generations.controller.js';
import { ServeImages } from './openai/serve-images.js';
import { InferenceController } from './predecessors/inference.controller.js';
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
import { SystemController } from './rest/system.controller.js';
import { WorkersController } from './rest/workers.controller.js';

/** Those whose routes are given JSON. */
export const JSON_CONTROLLERS = [JobsController, ImageGenerationsController, ...A1111_CONTROLLERS, InferenceController];

/** The REST edge. Use cases, ports and configuration come from the composition root, which provides them globally. */
@Module({
  controllers: [
    JobsController,
    JobEventsController,
    ArtifactsController,
    PreviewController,
    ModelsController,
    ImageGenerationsController,
    ImageEditsController,
    ...A1111_CONTROLLERS,
    InferenceController,
    WorkersController,
    NodeController,
    SystemController,
    HealthController,
    MetricsController,
    RootController,
  ],
  providers: [
    PreviewInterest,
    Authenticate,
    ArtifactLinks,
    ServeImages,
    { provide: PictureRoutes, useValue: new PictureRoutes(JSON_CONTROLLERS) },
    ...A1111_PROVIDERS,
    { provide: APP_GUARD, useClass: AccessGuard },
  ],
})
export class ApiModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(ForeignPagesMiddleware, IdentifyMiddleware).forRoutes('{*path}');
    consumer.apply(JsonBodyMiddleware).forRoutes(...JSON_CONTROLLERS);
  }
}
