import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { DynamicModule, Provider, Type } from '@nestjs/common';
import { Global, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';

import { parseExactJson } from '../../src/api/http/json/exact-json.js';
import { ApiModule } from '../../src/api/api.module.js';
import { configureHttpApp, HTTP_APP_OPTIONS } from '../../src/api/http/configure-http-app.js';
import { FilesystemArtifactStore } from '../../src/artifacts/filesystem-artifact-store.js';
import { HttpConfig } from '../../src/config/http.config.js';
import { QueueConfig } from '../../src/config/queue.config.js';
import { StorageConfig } from '../../src/config/storage.config.js';
import { WebhooksConfig } from '../../src/config/webhooks.config.js';
import type { ModelDescription } from '../../src/domain/generation/model-description.js';
import { PLAIN_SERVING } from '../../src/domain/generation/model-description.js';
import { schedulersFor } from '../../src/domain/generation/noise-scheduler.js';
import { FAMILY_PROFILES } from '../../src/domain/generation/pipeline-family.js';
import type { NodeDescription, NodeState } from '../../src/domain/placement/node-description.js';
import type { WorkerDescription } from '../../src/domain/placement/worker-description.js';
import { InProcessJobEvents } from '../../src/events/in-process-job-events.js';
import { CancelJob } from '../../src/jobs/cancel/cancel-job.js';
import { CancelRequests } from '../../src/jobs/cancel/cancel-requests.js';
import { ArtifactStore } from '../../src/jobs/ports/artifact-store.port.js';
import { Clock } from '../../src/jobs/ports/clock.port.js';
import { JobEvents } from '../../src/jobs/ports/job-events.port.js';
import type { Claim } from '../../src/jobs/ports/job-store.port.js';
import { Drains } from '../../src/jobs/ports/drains.port.js';
import { JobStore } from '../../src/jobs/ports/job-store.port.js';
import { NodeIdentity } from '../../src/jobs/ports/node-identity.js';
import { NodeStore } from '../../src/jobs/ports/node-store.port.js';
import { ModelCatalog } from '../../src/jobs/ports/model-catalog.port.js';
import { WorkerInventory } from '../../src/jobs/ports/worker-inventory.port.js';
import { QueryJobs } from '../../src/jobs/query/query-jobs.js';
import { QueryWorkers } from '../../src/jobs/query/query-workers.js';
import { SubmitJobs } from '../../src/jobs/submit/submit-jobs.js';
import { WatchJob } from '../../src/jobs/watch/watch-job.js';
import { Metrics } from '../../src/metrics/metrics.js';
import { SqliteJobStore } from '../../src/persistence/sqlite/sqlite-job-store.js';
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
  /** Folder of the artifact store. */
  readonly artifactsDir: string;
  readonly store: JobStore;
  readonly events: JobEvents;
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
  /** Nodes that work on the same jobs. */
  readonly otherNodes?: readonly NodeDescription[];
  /** What the one model is beside what every test model is. */
  readonly model?: Partial<ModelDescription>;
}

export async function startApi(options: ApiOptions = {}): Promise<RunningApi> {
  const folder = await mkdtemp(join(tmpdir(), 'safelight-api-'));
  const storage = new StorageConfig({ dataDir: folder, artifactsDir: join(folder, 'artifacts') });
  await mkdir(storage.artifactsDir);
  const store = await SqliteJobStore.open({ path: join(folder, 'jobs.db') });
  const workers = [workerDescription()];
  const otherNodes = options.otherNodes ?? [];
  const models = [modelDescription(options.model)];
  const ports = [
    { provide: JobStore, useValue: otherNodes.length === 0 ? store : sharedAs(store) },
    { provide: JobEvents, useClass: InProcessJobEvents },
    { provide: ArtifactStore, useClass: FilesystemArtifactStore },
    { provide: Clock, useClass: SystemClock },
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
    { provide: StorageConfig, useValue: storage },
    { provide: QueueConfig, useValue: new QueueConfig({ maxWaiting: options.maxWaiting ?? 1_000 }) },
    { provide: WebhooksConfig, useValue: new WebhooksConfig({ secret: options.webhookSecret ?? null }) },
    {
      provide: HttpConfig,
      useValue: new HttpConfig({
        bodyLimitBytes: options.bodyLimitBytes ?? 256 * 1024,
        maxBodyBytes: options.maxBodyBytes ?? 256 * 1024,
      }),
    },
  ];
  const app = await NestFactory.create<NestExpressApplication>(compose(ports), {
    ...HTTP_APP_OPTIONS,
    abortOnError: false,
    logger: false,
  });
  configureHttpApp(app);
  await app.listen(0, '127.0.0.1');
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
    artifactsDir: storage.artifactsDir,
    store,
    events,
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
      await store.close();
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
  const useCases = [SubmitJobs, CancelJob, CancelRequests, QueryJobs, QueryWorkers, WatchJob, Metrics];
  return {
    module: TestRootModule,
    imports: [ApiModule],
    providers: [...ports, ...useCases],
    exports: [...ports.map(({ provide }) => provide), ...useCases],
  };
}
