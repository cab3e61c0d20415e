import type { DynamicModule } from '@nestjs/common';
import { Global, Module } from '@nestjs/common';
import type { Logger } from 'pino';

import { LOCAL_KEY } from './api/access/authenticate.js';
import { ApiModule } from './api/api.module.js';
import { GrpcModule } from './api/grpc/grpc.module.js';
import { AppLifecycle } from './app.lifecycle.js';
import { catalogOf, leasesOf, workerPoolOf } from './app.workers.js';
import type { AreaName } from './config/areas.js';
import { CONFIG_AREAS } from './config/areas.js';
import type { Settings } from './config/settings.js';
import { SETTINGS } from './config/settings.js';
import { AttemptOutlines } from './dispatch/attempt-outline.js';
import { AttemptRecorder } from './dispatch/attempt-recorder.js';
import { AttemptRunner } from './dispatch/attempt-runner.js';
import { AttemptStops } from './dispatch/attempt-stops.js';
import { Candidates } from './dispatch/candidates.js';
import { Dispatcher } from './dispatch/dispatcher.js';
import { NodeDrains } from './dispatch/drain/node-drains.js';
import { Fallback } from './dispatch/fallback.js';
import { Footprints } from './dispatch/footprints.js';
import { InFlight } from './dispatch/in-flight.js';
import { ClaimKeeper } from './dispatch/maintenance/claim-keeper.js';
import { DueJobs } from './dispatch/maintenance/due-jobs.js';
import { Pruner } from './dispatch/maintenance/pruner.js';
import { Rescuer } from './dispatch/maintenance/rescuer.js';
import { NextTries } from './dispatch/next-try.js';
import { OtherWorkers } from './dispatch/other-workers.js';
import { DeviceLeases } from './dispatch/ports/device-leases.port.js';
import { WorkerPool } from './dispatch/ports/worker-pool.port.js';
import { Preemption } from './dispatch/preemption.js';
import { Stranded } from './dispatch/stranded.js';
import { Turns } from './dispatch/turns.js';
import type { Device } from './domain/placement/device.js';
import { HttpPictureSource } from './inputs/http-picture-source.js';
import { CancelJob } from './jobs/cancel/cancel-job.js';
import { CancelRequests } from './jobs/cancel/cancel-requests.js';
import { ArtifactStore } from './jobs/ports/artifact-store.port.js';
import { Clock } from './jobs/ports/clock.port.js';
import { DeliveryStore } from './jobs/ports/delivery-store.port.js';
import { Drains } from './jobs/ports/drains.port.js';
import { FootprintStore } from './jobs/ports/footprint-store.port.js';
import { JobEvents } from './jobs/ports/job-events.port.js';
import { JobStore } from './jobs/ports/job-store.port.js';
import { ModelCatalog } from './jobs/ports/model-catalog.port.js';
import { PictureSource } from './jobs/ports/picture-source.port.js';
import { NodeIdentity } from './jobs/ports/node-identity.js';
import { NodeStore } from './jobs/ports/node-store.port.js';
import { SecretStore } from './jobs/ports/secret-store.port.js';
import { WorkerInventory } from './jobs/ports/worker-inventory.port.js';
import { QueryJobs } from './jobs/query/query-jobs.js';
import { QueryWorkers } from './jobs/query/query-workers.js';
import { SubmitJobs } from './jobs/submit/submit-jobs.js';
import { TraceJobs } from './jobs/trace/trace-jobs.js';
import { WaitForJob } from './jobs/watch/wait-for-job.js';
import { WatchJob } from './jobs/watch/watch-job.js';
import type { Stores } from './persistence/open-stores.js';
import { Metrics } from './metrics/metrics.js';
import { LOG } from './telemetry/log.js';
import { Occurrences } from './telemetry/occurrences.js';
import { Tracing } from './telemetry/tracing/tracing.js';
import { SystemClock } from './system-clock.js';
import { WebhookDeliverer } from './webhooks/webhook-deliverer.js';
import { CombinedWorkerPool } from './workers/combined-worker-pool.js';

const AREA_NAMES = Object.keys(CONFIG_AREAS) as AreaName[];

/** What is opened before the application is put together; whoever opened it closes it. */
export interface Opened {
  readonly settings: Settings;
  readonly log: Logger;
  readonly node: NodeIdentity;
  readonly stores: Stores;
  readonly artifacts: ArtifactStore;
  readonly events: JobEvents;
  readonly devices: readonly Device[];
  readonly tracing: Tracing;
  /** Opens everything to programs that may read the data folder. */
  readonly localKey: string;
}

/** The composition root: with app.workers.ts the only place that names adapters. */
@Global()
@Module({})
export class AppModule {
  static compose({
    settings,
    log,
    node,
    stores,
    artifacts,
    events,
    devices,
    tracing,
    localKey,
  }: Opened): DynamicModule {
    const models = catalogOf(settings);
    const pool = workerPoolOf({ settings, models, devices, log });
    const ports = [
      { provide: JobStore, useValue: stores.jobs },
      { provide: NodeStore, useValue: stores.nodes },
      { provide: FootprintStore, useValue: stores.footprints },
      { provide: DeliveryStore, useValue: stores.deliveries },
      { provide: SecretStore, useValue: stores.secrets },
      { provide: LOCAL_KEY, useValue: localKey },
      { provide: NodeIdentity, useValue: node },
      { provide: ModelCatalog, useValue: models },
      { provide: PictureSource, useValue: new HttpPictureSource(settings.inputs) },
      { provide: WorkerPool, useValue: pool },
      { provide: WorkerInventory, useValue: pool },
      { provide: CombinedWorkerPool, useValue: pool },
      { provide: ArtifactStore, useValue: artifacts },
      { provide: JobEvents, useValue: events },
      { provide: DeviceLeases, useValue: leasesOf(settings) },
      { provide: Drains, useClass: NodeDrains },
      { provide: Clock, useClass: SystemClock },
      { provide: LOG, useValue: log },
      { provide: SETTINGS, useValue: settings },
      { provide: Tracing, useValue: tracing },
      { provide: Occurrences, useClass: Occurrences },
    ];
    const settingsByClass = AREA_NAMES.map((name) => ({ provide: CONFIG_AREAS[name], useValue: settings[name] }));
    const useCases = [SubmitJobs, CancelJob, CancelRequests, QueryJobs, QueryWorkers, WatchJob, WaitForJob, Metrics];
    const attempts = [InFlight, AttemptStops, AttemptOutlines, AttemptRunner, AttemptRecorder, NextTries];
    const placement = [Candidates, Turns, Stranded, Fallback, Footprints, OtherWorkers, Preemption];
    const loops = [Dispatcher, ClaimKeeper, Rescuer, DueJobs, Pruner, WebhookDeliverer, TraceJobs, AppLifecycle];
    return {
      module: AppModule,
      imports: [ApiModule, GrpcModule],
      providers: [...ports, ...settingsByClass, ...useCases, ...attempts, ...placement, ...loops],
      exports: [...ports.map(({ provide }) => provide), ...settingsByClass.map(({ provide }) => provide), ...useCases],
    };
  }
}
