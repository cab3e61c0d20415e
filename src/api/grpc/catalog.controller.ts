import type { Metadata, ServerUnaryCall } from '@grpc/grpc-js';
import { Controller, UseFilters, UseGuards } from '@nestjs/common';
import { GrpcMethod } from '@nestjs/microservices';

import type {
  CatalogServiceService,
  ListModelsRequest,
  ListModelsResponse,
  ListWorkersRequest,
  ListWorkersResponse,
} from '../../gen/safelight/v1/safelight.pb.js';
import { ModelCatalog } from '../../jobs/ports/model-catalog.port.js';
import { WorkerInventory } from '../../jobs/ports/worker-inventory.port.js';
import { QueryWorkers } from '../../jobs/query/query-workers.js';
import { Admits } from '../access/admits.js';
import { modelMessage } from './messages/model-message.js';
import { workerMessage } from './messages/worker-message.js';
import { CallAccessGuard } from './serving/access.guard.js';
import { Calls } from './serving/calls.js';
import type { Handlers } from './serving/handlers.js';
import { StatusFilter } from './status/status.filter.js';

/** What the server can run, and on what. */
@UseGuards(CallAccessGuard)
@UseFilters(StatusFilter)
@Controller()
export class GrpcCatalogController implements Handlers<typeof CatalogServiceService> {
  constructor(
    private readonly calls: Calls,
    private readonly models: ModelCatalog,
    private readonly inventory: WorkerInventory,
    private readonly workers: QueryWorkers,
  ) {}

  @Admits('user', 'monitor', 'operator')
  @GrpcMethod('CatalogService', 'listModels')
  listModels(
    _request: ListModelsRequest,
    _metadata: Metadata,
    call: ServerUnaryCall<ListModelsRequest, ListModelsResponse>,
  ): Promise<ListModelsResponse> {
    return this.calls.unary(call, () => {
      const workers = this.inventory.list();
      return Promise.resolve({ models: this.models.list().map((model) => modelMessage(model, workers)) });
    });
  }

  @Admits('monitor', 'operator')
  @GrpcMethod('CatalogService', 'listWorkers')
  listWorkers(
    _request: ListWorkersRequest,
    _metadata: Metadata,
    call: ServerUnaryCall<ListWorkersRequest, ListWorkersResponse>,
  ): Promise<ListWorkersResponse> {
    return this.calls.unary(call, async () => ({ workers: (await this.workers.list()).map(workerMessage) }));
  }
}
