import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Logger } from 'pino';
import { pino } from 'pino';

import { FilesystemArtifactStore } from '../../src/artifacts/filesystem-artifact-store.js';
import { ComfyUiConfig } from '../../src/config/comfyui.config.js';
import { DatabaseConfig } from '../../src/config/database.config.js';
import { InputsConfig } from '../../src/config/inputs.config.js';
import { LogConfig } from '../../src/config/log.config.js';
import { NodeConfig } from '../../src/config/node.config.js';
import { QueueConfig } from '../../src/config/queue.config.js';
import { RetryConfig } from '../../src/config/retry.config.js';
import { ShutdownConfig } from '../../src/config/shutdown.config.js';
import { StorageConfig } from '../../src/config/storage.config.js';
import { WebhooksConfig } from '../../src/config/webhooks.config.js';
import { WorkersConfig } from '../../src/config/workers.config.js';
import { DeviceLeasePool } from '../../src/devices/device-lease-pool.js';
import { AttemptOutlines } from '../../src/dispatch/attempt-outline.js';
import { AttemptRecorder } from '../../src/dispatch/attempt-recorder.js';
import { AttemptRunner } from '../../src/dispatch/attempt-runner.js';
import { AttemptStops } from '../../src/dispatch/attempt-stops.js';
import { Candidates } from '../../src/dispatch/candidates.js';
import { Dispatcher } from '../../src/dispatch/dispatcher.js';
import { NodeDrains } from '../../src/dispatch/drain/node-drains.js';
import { Footprints } from '../../src/dispatch/footprints.js';
import { InFlight } from '../../src/dispatch/in-flight.js';
import { Fallback } from '../../src/dispatch/fallback.js';
import { ClaimKeeper } from '../../src/dispatch/maintenance/claim-keeper.js';
import { DueJobs } from '../../src/dispatch/maintenance/due-jobs.js';
import { Rescuer } from '../../src/dispatch/maintenance/rescuer.js';
import { NextTries } from '../../src/dispatch/next-try.js';
import { OtherWorkers } from '../../src/dispatch/other-workers.js';
import type { AttemptEvent } from '../../src/dispatch/ports/worker-pool.port.js';
import { Preemption } from '../../src/dispatch/preemption.js';
import { Stranded } from '../../src/dispatch/stranded.js';
import { Turns } from '../../src/dispatch/turns.js';
import type { GenerationRequest } from '../../src/domain/generation/generation-request.js';
import type { ModelDescription } from '../../src/domain/generation/model-description.js';
import type { Job } from '../../src/domain/job/job.js';
import type { JobEventBody } from '../../src/domain/job/job-event.js';
import { isFinal } from '../../src/domain/job/job-state.js';
import type { ClosableJobEvents } from '../../src/events/closable-job-events.js';
import { InProcessJobEvents } from '../../src/events/in-process-job-events.js';
import { PostgresJobEvents } from '../../src/events/postgres/postgres-job-events.js';
import { HttpPictureSource } from '../../src/inputs/http-picture-source.js';
import { CancelRequests } from '../../src/jobs/cancel/cancel-requests.js';
import type { JobStore } from '../../src/jobs/ports/job-store.port.js';
import type { ModelCatalog } from '../../src/jobs/ports/model-catalog.port.js';
import { QueryWorkers } from '../../src/jobs/query/query-workers.js';
import { SubmitJobs } from '../../src/jobs/submit/submit-jobs.js';
import type { Stores } from '../../src/persistence/open-stores.js';
import { openStores } from '../../src/persistence/open-stores.js';
import { Occurrences } from '../../src/telemetry/occurrences.js';
import { SystemClock } from '../../src/system-clock.js';
import { modelDescription } from './api.js';
import { newJob } from './jobs.js';
import type { ScriptedPool } from './scripted-worker.js';
import { eventually } from './signals.js';

/** Longest wait for a job, in milliseconds: scripts do not compute. */
const WAIT_MS = 15_000;

const LOG = pino({ level: process.env['TEST_LOG'] ?? 'silent' });

/** An attempt that succeeded without a picture. */
export const DONE: AttemptEvent = { type: 'result', artifacts: [], phases: [], effective: { dtype: 'float32' } };

/** A model with the components of Stable Diffusion, of a size that is easily counted. */
export const SHAPES: ModelDescription = modelDescription({
  components: { text_encoder: 100, unet: 1000, vae: 200 },
});

export interface DispatchOptions {
  readonly pool: ScriptedPool;
  readonly permits?: number;
  /** Of an earlier life; it is left when this one is closed. */
  readonly folder?: string;
  /** Shared with other nodes. */
  readonly artifactsDir?: string;
  readonly models?: readonly ModelDescription[];
  readonly node?: string;
  /** Null: the embedded store. */
  readonly databaseUrl?: string | null;
  readonly leaseMs?: number;
  readonly drainMs?: number;
  /** A pool's remote worker stands for the server. */
  readonly comfyui?: ConstructorParameters<typeof ComfyUiConfig>[0];
  /** Of attempts. */
  readonly log?: Logger;
  readonly logConfig?: LogConfig;
}

/** A node that dispatches: all of it but the workers, which play scripts, and the edges. */
export interface DispatchingNode {
  /** New at every start. */
  readonly id: string;
  readonly folder: string;
  readonly store: JobStore;
  readonly events: ClosableJobEvents;
  readonly artifacts: FilesystemArtifactStore;
  readonly occurrences: Occurrences;
  readonly leases: DeviceLeasePool;
  readonly inFlight: InFlight;
  readonly footprints: Footprints;
  readonly drains: NodeDrains;
  readonly submissions: SubmitJobs;
  readonly dispatcher: Dispatcher;
  /** Resolves when another node has taken the name of this one. */
  readonly superseded: Promise<void>;
  submit(request?: Partial<GenerationRequest>, createdAt?: number): Promise<string>;
  /** The job once this holds of it. */
  once(id: string, when: (job: Job) => boolean): Promise<Job>;
  final(id: string): Promise<Job>;
  /** The job once it denoises. */
  running(id: string): Promise<Job>;
  /** What the job's events told, but for states, phases and progress. */
  told(id: string, type: JobEventBody['type']): Promise<readonly JobEventBody[]>;
  /** No heartbeat and no loops any more, as if the machine had gone; attempts go on. */
  fallSilent(): Promise<void>;
  /** Its heartbeat is back. */
  speakAgain(): void;
  close(): Promise<void>;
}

export async function startNode(options: DispatchOptions): Promise<DispatchingNode> {
  const { pool, permits = 4, databaseUrl = null, leaseMs = 15_000, drainMs = 60_000 } = options;
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'safelight-dispatch-'));
  const clock = new SystemClock();
  const node = { id: randomUUID(), name: options.node ?? 'here' };
  const database = new DatabaseConfig({ url: databaseUrl, leaseMs });
  const stores: Stores = await openStores({ database, dataDir: folder, log: LOG });
  const store = stores.jobs;
  const events = await openEvents(databaseUrl, node);
  const storage = new StorageConfig({
    dataDir: folder,
    artifactsDir: options.artifactsDir ?? join(folder, 'artifacts'),
  });
  const artifacts = new FilesystemArtifactStore(storage, new NodeConfig({ name: node.name }));
  const models = catalog(options.models ?? [SHAPES]);
  const workers = new WorkersConfig({ permits });
  const leases = new DeviceLeasePool(workers);
  const inFlight = new InFlight();
  const requests = new CancelRequests(events);
  const footprints = new Footprints(stores.footprints, pool, clock, LOG);
  const otherWorkers = new OtherWorkers(pool, stores.nodes, store, node, clock);
  const fallback = new Fallback(store, models, otherWorkers, clock, new ComfyUiConfig(options.comfyui));
  const candidates = new Candidates(store, models, footprints, leases, new Turns(store, inFlight), fallback);
  const retry = new RetryConfig({ backoffBaseMs: 1, backoffCapMs: 1 });
  const nextTries = new NextTries(store, otherWorkers, footprints, leases, retry);
  const recorder = new AttemptRecorder(store, artifacts, events, nextTries, clock);
  const occurrences = new Occurrences();
  const runner = new AttemptRunner(
    store,
    artifacts,
    events,
    recorder,
    otherWorkers,
    clock,
    workers,
    occurrences,
    options.logConfig ?? new LogConfig(),
    options.log ?? LOG,
  );
  const preemption = new Preemption(store, models, candidates, inFlight, leases, clock, LOG);
  const dispatcher = new Dispatcher(
    store,
    events,
    pool,
    leases,
    candidates,
    new Stranded(store, models, otherWorkers, clock),
    fallback,
    models,
    new AttemptOutlines(models, footprints, clock),
    new AttemptStops(requests, clock),
    runner,
    inFlight,
    preemption,
    node,
    database,
    clock,
    LOG,
  );
  const submissions = new SubmitJobs(
    store,
    events,
    models,
    clock,
    new QueueConfig(),
    artifacts,
    new WebhooksConfig(),
    new QueryWorkers(store, pool, stores.nodes, node, clock),
    new HttpPictureSource(new InputsConfig()),
  );
  const drains = new NodeDrains(pool, pool, inFlight, submissions, new ShutdownConfig({ drainMs }), LOG);
  const due = new DueJobs(store, events, clock, LOG);
  const rescuer = new Rescuer(store, stores.nodes, events, node, database, clock, LOG);
  const claims = new ClaimKeeper(store, stores.nodes, events, inFlight, drains, pool, node, database, clock, LOG);
  await artifacts.dropAllStaging();
  await rescuer.takeOver(null);
  await footprints.start();
  const superseded = Promise.withResolvers<void>();
  claims.start(superseded.resolve);
  await dispatcher.start();
  due.start();
  rescuer.start();

  const once: DispatchingNode['once'] = (id, when) =>
    eventually(
      `job ${id} as expected`,
      async () => {
        const job = await store.get(id);
        return job !== null && when(job) ? job : null;
      },
      WAIT_MS,
    );
  const fallSilent = async () => {
    await claims.stop();
    await rescuer.stop();
    await due.stop();
  };
  return {
    id: node.id,
    folder,
    store,
    events,
    artifacts,
    occurrences,
    leases,
    inFlight,
    footprints,
    drains,
    submissions,
    dispatcher,
    superseded: superseded.promise,
    once,
    final: (id) => once(id, ({ state }) => isFinal(state)),
    running: (id) => once(id, ({ state, progress }) => state === 'running' && progress?.phase === 'denoise'),
    told: async (id, type) =>
      (await store.eventsAfter(id, 0)).map(({ body }) => body).filter((body) => body.type === type),
    async submit(request = {}, createdAt = Date.now()) {
      const job = newJob({ client: '', request: { webhook: null, ...request }, createdAt });
      const result = await store.insert([job], { maxWaiting: 1000 }, null);
      if (result.outcome !== 'inserted') throw new Error(result.outcome);
      events.publish(result.events);
      return job.id;
    },
    fallSilent,
    speakAgain: () => claims.start(superseded.resolve),
    async close() {
      await dispatcher.stop(0);
      await fallSilent();
      await footprints.stop();
      await events.close();
      await stores.close();
      if (options.folder === undefined && existsSync(folder)) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Leaves a file where a worker of the attempt would; returns what it tells of it. */
export async function leaveCheckpoint(stagingDir: string, step: number) {
  const fileName = `step-${step}.safetensors`;
  const content = `the state at step ${step}`;
  await writeFile(join(stagingDir, fileName), content);
  return { fileName, step, bytes: content.length };
}

function catalog(models: readonly ModelDescription[]): ModelCatalog {
  return {
    list: () => models,
    find: (id) => models.find((model) => model.id === id) ?? null,
    default: () => models[0]!,
  };
}

function openEvents(
  databaseUrl: string | null,
  node: { readonly id: string; readonly name: string },
): ClosableJobEvents | Promise<ClosableJobEvents> {
  if (databaseUrl === null) return new InProcessJobEvents();
  return PostgresJobEvents.open({ databaseUrl, node, log: LOG });
}
