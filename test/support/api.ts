import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { DynamicModule, Provider, Type } from '@nestjs/common';
import { Global, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Logger } from 'pino';
import { pino } from 'pino';

import { parseExactJson } from '../../src/api/http/json/exact-json.js';
import { ArtifactLinks } from '../../src/api/access/artifact-links.js';
import { LOCAL_KEY } from '../../src/api/access/authenticate.js';
import { ApiModule } from '../../src/api/api.module.js';
import { GrpcModule } from '../../src/api/grpc/grpc.module.js';
import { connectGrpc } from '../../src/api/grpc/serving/connect-grpc.js';
import { configureHttpApp, HTTP_APP_OPTIONS } from '../../src/api/http/configure-http-app.js';
import { FilesystemArtifactStore } from '../../src/artifacts/filesystem-artifact-store.js';
import { AccessConfig } from '../../src/config/access.config.js';
import { DatabaseConfig } from '../../src/config/database.config.js';
import { GrpcConfig } from '../../src/config/grpc.config.js';
import { HttpConfig } from '../../src/config/http.config.js';
import { InputsConfig } from '../../src/config/inputs.config.js';
import { loadSettings } from '../../src/config/load-settings.js';
import { LogConfig } from '../../src/config/log.config.js';
import { QueueConfig } from '../../src/config/queue.config.js';
import { SETTINGS } from '../../src/config/settings.js';
import { StorageConfig } from '../../src/config/storage.config.js';
import { WebhooksConfig } from '../../src/config/webhooks.config.js';
import type { ModelDescription } from '../../src/domain/generation/model-description.js';
import { PLAIN_SERVING } from '../../src/domain/generation/model-description.js';
import { schedulersFor } from '../../src/domain/generation/noise-scheduler.js';
import { FAMILY_PROFILES } from '../../src/domain/generation/pipeline-family.js';
import type { NodeDescription, NodeState } from '../../src/domain/placement/node-description.js';
import type { WorkerDescription } from '../../src/domain/placement/worker-description.js';
import { InProcessJobEvents } from '../../src/events/in-process-job-events.js';
import { HttpPictureSource } from '../../src/inputs/http-picture-source.js';
import { CancelJob } from '../../src/jobs/cancel/cancel-job.js';
import { CancelRequests } from '../../src/jobs/cancel/cancel-requests.js';
import { ArtifactStore } from '../../src/jobs/ports/artifact-store.port.js';
import { Clock } from '../../src/jobs/ports/clock.port.js';
import { DeliveryStore } from '../../src/jobs/ports/delivery-store.port.js';
import { FootprintStore } from '../../src/jobs/ports/footprint-store.port.js';
import { JobEvents } from '../../src/jobs/ports/job-events.port.js';
import type { Claim } from '../../src/jobs/ports/job-store.port.js';
import { Drains } from '../../src/jobs/ports/drains.port.js';
import { JobStore } from '../../src/jobs/ports/job-store.port.js';
import { NodeIdentity } from '../../src/jobs/ports/node-identity.js';
import { NodeStore } from '../../src/jobs/ports/node-store.port.js';
import { ModelCatalog } from '../../src/jobs/ports/model-catalog.port.js';
import { PictureSource } from '../../src/jobs/ports/picture-source.port.js';
import { SecretStore } from '../../src/jobs/ports/secret-store.port.js';
import { WorkerInventory } from '../../src/jobs/ports/worker-inventory.port.js';
import { QueryJobs } from '../../src/jobs/query/query-jobs.js';
import { QueryWorkers } from '../../src/jobs/query/query-workers.js';
import { SubmitJobs } from '../../src/jobs/submit/submit-jobs.js';
import { WaitForJob } from '../../src/jobs/watch/wait-for-job.js';
import { WatchJob } from '../../src/jobs/watch/watch-job.js';
import { Metrics } from '../../src/metrics/metrics.js';
import { openStores } from '../../src/persistence/open-stores.js';
import { LOG } from '../../src/telemetry/log.js';
import { Occurrences } from '../../src/telemetry/occurrences.js';
import { NoTracing } from '../../src/telemetry/tracing/open-tracing.js';
import { Tracing } from '../../src/telemetry/tracing/tracing.js';
import { SystemClock } from '../../src/system-clock.js';
import { artifact, attemptRecord, claimer } from './jobs.js';

/** Bytes that stand for a picture; the edge never looks inside. */
export const PICTURE = Buffer.from('not really a picture');

/** A model as the catalog describes it, without a folder. */
export function modelDescription(changes: Partial<ModelDescription> = {}): ModelDescription {
  const { limits, defaults, flowMatching } = FAMILY_PROFILES.sd15;
  return {
    ...PLAIN_SERVING,
    id: 'shapes',
    source: '/models/shapes',
    pipelineClass: 'StableDiffusionPipeline',
    components: {},
    family: 'sd15',
    dtype: null,
    variant: null,
    isDefault: true,
    limits: { ...limits, max_width: 128, max_height: 128 },
    defaults: { ...defaults, width: 64, height: 64 },
    schedulers: schedulersFor(flowMatching),
    capabilities: ['text_to_image'],
    ...changes,
  };
}

export function workerDescription(changes: Partial<WorkerDescription> = {}): WorkerDescription {
  return {
    id: 'cpu:0#1',
    node: 'here',
    device: { id: 'cpu:0', kind: 'cpu', name: 'a processor' },
    state: 'ready',
    pid: 4711,
    models: ['shapes'],
    running: 0,
    memory: { totalBytes: 8_000, freeBytes: 5_000, allocatedBytes: 2_000, reservedBytes: 3_000 },
    restarts: 0,
    reason: null,
    versions: { torch: '2.13.0' },
    ...changes,
  };
}

/** JSON of any shape: a test names what it expects of it. */
export type AnyJson = ReturnType<typeof JSON.parse>;

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON, with integers beyond 2^53 as bigints; undefined when it is none. */
  readonly json: AnyJson;
}

/** The REST edge over a real socket, with the embedded store; nothing runs the jobs but the test. */
export interface RunningApi {
  readonly url: string;
  /** `host:port`; empty: gRPC is not served. */
  readonly grpcAddress: string;
  /** Folder of the artifact store. */
  readonly artifactsDir: string;
  readonly store: JobStore;
  readonly footprints: FootprintStore;
  readonly events: JobEvents;
  readonly links: ArtifactLinks;
  /** What the workers are said to be; a test replaces the entries. */
  readonly workers: WorkerDescription[];
  request(
    method: string,
    path: string,
    init?: { body?: RequestInit['body']; headers?: Record<string, string> },
  ): Promise<ApiAnswer>;
  /** Sends a value as JSON. */
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<ApiAnswer>;
  get(path: string, headers?: Record<string, string>): Promise<ApiAnswer>;
  /** Takes the oldest queued job as the dispatcher would. */
  claim(): Promise<Claim>;
  /** Ends a claimed job with this picture, and tells who watches it. */
  succeed(claim: Claim, picture?: Buffer): Promise<void>;
  /** How many jobs there are, whatever their state. */
  countJobs(): Promise<number>;
  /** Puts a file where the artifact store looks; returns its key. */
  putFile(name: string, bytes: Buffer): Promise<string>;
  /** Stops answering; the store stays open. */
  closeServer(): Promise<void>;
  close(): Promise<void>;
}

interface ApiOptions {
  readonly maxWaiting?: number;
  readonly bodyLimitBytes?: number;
  readonly maxBodyBytes?: number;
  /** Absent: webhooks are off. */
  readonly webhookSecret?: string;
  /** Absent: no keys are in use. */
  readonly access?: ConstructorParameters<typeof AccessConfig>[0];
  /** Epoch milliseconds, instead of the time of the machine. */
  readonly now?: () => number;
  /** Absent: gRPC is not served. */
  readonly grpc?: ConstructorParameters<typeof GrpcConfig>[0];
  readonly publicUrl?: string;
  readonly corsOrigins?: readonly string[];
  /** Absent: pictures are not fetched. */
  readonly inputs?: ConstructorParameters<typeof InputsConfig>[0];
  /** Absent: nothing is logged. */
  readonly log?: Logger;
  readonly logConfig?: LogConfig;
  /** Absent: traces are off. Whoever gives it closes it. */
  readonly tracing?: Tracing;
  /** Nodes that work on the same jobs. */
  readonly otherNodes?: readonly NodeDescription[];
  /** What the one model is beside what every test model is. */
  readonly model?: Partial<ModelDescription>;
}

export async function startApi(options: ApiOptions = {}): Promise<RunningApi> {
  const folder = await mkdtemp(join(tmpdir(), 'safelight-api-'));
  const storage = new StorageConfig({ dataDir: folder, artifactsDir: join(folder, 'artifacts') });
  await mkdir(storage.artifactsDir);
  const log = options.log ?? pino({ level: 'silent' });
  const stores = await openStores({ database: new DatabaseConfig(), dataDir: folder, log });
  const store = stores.jobs;
  const workers = [workerDescription()];
  const otherNodes = options.otherNodes ?? [];
  const models = [modelDescription(options.model)];
  const ports = [
    { provide: JobStore, useValue: otherNodes.length === 0 ? store : sharedAs(store) },
    { provide: JobEvents, useClass: InProcessJobEvents },
    { provide: ArtifactStore, useClass: FilesystemArtifactStore },
    { provide: Clock, useValue: options.now === undefined ? new SystemClock() : { now: options.now } },
    {
      provide: ModelCatalog,
      useValue: {
        list: () => models,
        find: (id: string) => models.find((model) => model.id === id) ?? null,
        default: () => models[0],
      },
    },
    { provide: WorkerInventory, useValue: { list: () => workers } },
    {
      provide: Drains,
      useFactory: (submissions: SubmitJobs) => scriptedDrains(workers, submissions),
      inject: [SubmitJobs],
    },
    { provide: NodeStore, useValue: { list: () => Promise.resolve(otherNodes) } },
    { provide: NodeIdentity, useValue: { id: 'node-1', name: 'here' } },
    { provide: SecretStore, useValue: { obtain: (_name: string, fresh: string) => Promise.resolve(fresh) } },
    { provide: LOCAL_KEY, useValue: null },
    { provide: AccessConfig, useValue: new AccessConfig(options.access) },
    { provide: DeliveryStore, useValue: stores.deliveries },
    { provide: FootprintStore, useValue: stores.footprints },
    { provide: LOG, useValue: log },
    { provide: LogConfig, useValue: options.logConfig ?? new LogConfig() },
    { provide: Tracing, useValue: options.tracing ?? new NoTracing() },
    { provide: Occurrences, useClass: Occurrences },
    { provide: SETTINGS, useValue: loadSettings({ env: {}, cwd: folder, homeDir: folder, hostName: 'here' }) },
    { provide: StorageConfig, useValue: storage },
    { provide: QueueConfig, useValue: new QueueConfig({ maxWaiting: options.maxWaiting ?? 1_000 }) },
    { provide: WebhooksConfig, useValue: new WebhooksConfig({ secret: options.webhookSecret ?? null }) },
    { provide: PictureSource, useValue: new HttpPictureSource(new InputsConfig(options.inputs)) },
    { provide: GrpcConfig, useValue: new GrpcConfig(options.grpc) },
    {
      provide: HttpConfig,
      useValue: new HttpConfig({
        bodyLimitBytes: options.bodyLimitBytes ?? 256 * 1024,
        maxBodyBytes: options.maxBodyBytes ?? 256 * 1024,
        publicUrl: options.publicUrl ?? null,
        corsOrigins: options.corsOrigins ?? [],
      }),
    },
  ];
  const app = await NestFactory.create<NestExpressApplication>(compose(ports), {
    ...HTTP_APP_OPTIONS,
    abortOnError: false,
    logger: false,
  });
  configureHttpApp(app);
  const grpc = options.grpc === undefined ? null : await connectGrpc(app, 0);
  await app.listen(0, '127.0.0.1');
  const grpcAddress = grpc === null ? '' : `127.0.0.1:${await grpc.listen()}`;
  const { port } = app.getHttpServer().address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const events = app.get(JobEvents);
  let closing: Promise<void> | null = null;
  const closeServer = () => (closing ??= app.close());
  const putFile = async (name: string, bytes: Buffer) => {
    await writeFile(join(storage.artifactsDir, name), bytes);
    return name;
  };
  const request: RunningApi['request'] = async (method, path, init) => {
    const response = await fetch(url + path, { method, redirect: 'manual', ...init });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '') && text !== '';
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: isJson ? parseExactJson(text) : undefined,
    };
  };
  return {
    url,
    grpcAddress,
    artifactsDir: storage.artifactsDir,
    store,
    footprints: stores.footprints,
    events,
    links: app.get(ArtifactLinks, { strict: false }),
    workers,
    request,
    putFile,
    get: (path, headers = {}) => request('GET', path, { headers }),
    post: (path, body, headers = {}) =>
      request('POST', path, {
        body: JSON.stringify(body),
        headers: { 'Content-Type': 'application/json', ...headers },
      }),
    async claim() {
      const claimed = await store.claimNext(
        [{ model: 'shapes', bonusMs: 0, maxPixels: null }],
        claimer({ node: 'here', nodeName: 'here', worker: 'here/cpu:0#1' }),
        Date.now(),
      );
      if (claimed === null) throw new Error('expected a queued job');
      events.publish(claimed.events);
      return claimed.claim;
    },
    async succeed(claim, picture = PICTURE) {
      const key = await putFile(`${claim.jobId}.png`, picture);
      const sha256 = createHash('sha256').update(picture).digest('hex');
      const artifacts = [{ ...artifact(), key, bytes: picture.length, sha256 }];
      const record = attemptRecord({ finishedAt: Date.now() });
      const recorded = await store.completeIfClaimed(claim, record, { artifacts, effective: {} }, Date.now());
      if (!recorded.recorded) throw new Error('expected the claim to hold');
      events.publish(recorded.events);
    },
    async countJobs() {
      return Object.values(await store.countByState()).reduce((sum, count) => sum + count, 0);
    },
    closeServer,
    async close() {
      await closeServer();
      await stores.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** The same store, said to be worked on by other nodes too. */
function sharedAs(store: JobStore): JobStore {
  return Object.create(store, { isShared: { value: true } }) as JobStore;
}

/** Drains that only change what the workers are said to be, and close the node to submissions. */
function scriptedDrains(workers: WorkerDescription[], submissions: SubmitJobs): Drains {
  let state: NodeState = 'serving';
  const become = (id: string, changes: Partial<WorkerDescription>) => {
    const index = workers.findIndex((worker) => worker.id === id);
    const worker = workers[index];
    if (worker === undefined) return null;
    const changed = { ...worker, ...changes };
    workers[index] = changed;
    return changed;
  };
  return {
    drainWorker: (id) => become(id, { state: 'draining', reason: 'it drains' }),
    startWorker: (id) => become(id, { state: 'starting', reason: 'it starts' }),
    drainNode() {
      submissions.close();
      return (state = 'draining');
    },
    nodeState: () => state,
  };
}

@Global()
@Module({})
class TestRootModule {}

function compose(ports: readonly Exclude<Provider, Type>[]): DynamicModule {
  const useCases = [SubmitJobs, CancelJob, CancelRequests, QueryJobs, QueryWorkers, WatchJob, WaitForJob, Metrics];
  return {
    module: TestRootModule,
    imports: [ApiModule, GrpcModule],
    providers: [...ports, ...useCases],
    exports: [...ports.map(({ provide }) => provide), ...useCases],
  };
}
