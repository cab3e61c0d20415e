import { Module } from '@nestjs/common';

import { Authenticate } from '../access/authenticate.js';
import { GrpcArtifactsController } from './artifacts.controller.js';
import { GrpcCatalogController } from './catalog.controller.js';
import { GrpcJobStreamsController } from './job-streams.controller.js';
import { GrpcJobsController } from './jobs.controller.js';
import { Calls } from './serving/calls.js';
import { Submissions } from './submissions.js';

/** The gRPC edge, which {@link connectGrpc} makes listen. Use cases, ports and configuration are provided globally. */
@Module({
  controllers: [GrpcJobsController, GrpcJobStreamsController, GrpcArtifactsController, GrpcCatalogController],
  providers: [Calls, Submissions, Authenticate],
})
export class GrpcModule {}
