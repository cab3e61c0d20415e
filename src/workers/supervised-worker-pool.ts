import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Logger } from 'pino';

import type { PromptsInLog } from '../config/log.config.js';
import type { WorkersConfig } from '../config/workers.config.js';
import type { ReadyWorker } from '../dispatch/ports/worker-pool.port.js';
import { WorkerPool } from '../dispatch/ports/worker-pool.port.js';
import type { Device } from '../domain/placement/device.js';
import type { ModelFootprint } from '../domain/placement/footprint.js';
import type { WorkerDescription } from '../domain/placement/worker-description.js';
import type { WorkerInventory } from '../jobs/ports/worker-inventory.port.js';
import type { LoadableModel } from './client/plan-to-wire.js';
import { Listeners } from './listeners.js';
import { endFormerWorkers } from './supervision/former-workers.js';
import { deviceInsideWorker, workerEnvironment } from './supervision/worker-environment.js';
import type { WorkerCommand } from './supervision/worker-process.js';
import { WorkerSupervisor } from './supervision/worker-supervisor.js';

/** Longest path of a Unix socket, less the name of the file and a margin (sun_path holds 104 bytes on macOS, 108 on Linux). */
const LONGEST_RUN_DIR = 76;

export interface PoolOptions {
  readonly node: string;
  readonly devices: readonly Device[];
  readonly config: WorkersConfig;
  /** Absolute path of the folder that holds the package `safelight_worker`. */
  readonly workerDir: string;
  /** Absolute path of the folder for sockets and caches. */
  readonly dataDir: string;
  /** Models every worker loads when it starts, in this order. */
  readonly preload: readonly LoadableModel[];
  /** All models the server serves: a worker that loads one for a job is told how long it may stay and asked what it takes. */
  readonly served: readonly LoadableModel[];
  readonly logLevel: string;
  /** Absent: hidden. */
  readonly promptsInLog?: PromptsInLog;
  readonly log: Logger;
}

/** The workers of this node: a supervised process per device. */
export class SupervisedWorkerPool extends WorkerPool implements WorkerInventory {
  private readonly supervisors: readonly WorkerSupervisor[];
  private readonly changes: Listeners<[]>;
  private readonly footprints: Listeners<[footprint: Omit<ModelFootprint, 'overruns'>]>;
  /** Where living workers are written down. Other servers may use it: each removes what is its own. */
  private readonly recordDir: string;
  private socketDir: string;
  /** In the names of our sockets, so that no other server in the folder has the same. */
  private readonly mark = randomBytes(3).toString('hex');
  private readonly stopping = new AbortController();

  constructor(private readonly options: PoolOptions) {
    super();
    this.recordDir = join(options.dataDir, 'run');
    this.socketDir = this.recordDir;
    this.changes = new Listeners('change', options.log);
    this.footprints = new Listeners('footprint', options.log);
    this.supervisors = options.devices.map((device) => this.supervisorFor(device));
  }

  /** Ends what a former life left behind, then starts the workers once that has let go of the devices. */
  start(): void {
    // Only we can read it: who reaches a socket commands a worker.
    mkdirSync(this.recordDir, { recursive: true, mode: 0o700 });
    chmodSync(this.recordDir, 0o700);
    if (Buffer.byteLength(this.recordDir) > LONGEST_RUN_DIR) this.socketDir = mkdtempSync(join(tmpdir(), 'safelight-'));
    const former = endFormerWorkers(this.recordDir, this.options.log);
    const devicesAreFree = former.count === 0 ? null : former.gone(this.stopping.signal);
    for (const supervisor of this.supervisors) supervisor.start(devicesAreFree);
  }

  drain(id?: string): void {
    const drained = id === undefined ? this.supervisors : this.withId(id);
    for (const supervisor of drained) supervisor.drain(id === undefined ? 'the node stops' : 'it is drained');
  }

  async stopWorker(id: string): Promise<void> {
    await Promise.all(this.withId(id).map((supervisor) => supervisor.stop('it is drained')));
  }

  startWorker(id: string): boolean {
    return !this.stopping.signal.aborted && this.withId(id).some((supervisor) => supervisor.start());
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.supervisors.map((supervisor) => supervisor.stop('the node stops')));
    if (this.socketDir !== this.recordDir) rmSync(this.socketDir, { recursive: true, force: true });
  }

  list(): readonly WorkerDescription[] {
    return this.supervisors.map((supervisor) => supervisor.describe());
  }

  ready(): readonly ReadyWorker[] {
    return this.supervisors.filter((supervisor) => supervisor.takesAttempts);
  }

  onFootprint(listener: (footprint: Omit<ModelFootprint, 'overruns'>) => void): () => void {
    return this.footprints.add(listener);
  }

  onChange(listener: () => void): () => void {
    return this.changes.add(listener);
  }

  private withId(id: string): readonly WorkerSupervisor[] {
    return this.supervisors.filter((supervisor) => supervisor.id === id);
  }

  private supervisorFor(device: Device): WorkerSupervisor {
    const { config, node, preload, served, log } = this.options;
    const id = device.id.replace(':', '-');
    return new WorkerSupervisor({
      id,
      node,
      device,
      config,
      preload,
      served,
      command: (incarnation) => this.command(device, join(this.socketDir, `${id}-${incarnation}-${this.mark}.sock`)),
      onChange: () => this.changes.tell(),
      onFootprint: (footprint) => this.footprints.tell(footprint),
      log: log.child({ worker: id }),
    });
  }

  private command(device: Device, socket: string): WorkerCommand {
    const { config, workerDir, dataDir, logLevel, promptsInLog = 'hidden' } = this.options;
    return {
      python: config.python ?? join(workerDir, '.venv', 'bin', 'python'),
      args: [
        ...['-m', 'safelight_worker', '--socket', socket, '--device', deviceInsideWorker(device)],
        ...['--data-dir', join(dataDir, 'worker-cache'), '--log-level', logLevel, '--prompts', promptsInLog],
        ...(config.threads > 0 ? ['--threads', String(config.threads)] : []),
        ...(config.memoryBudgetBytes > 0 ? ['--memory-budget-bytes', String(config.memoryBudgetBytes)] : []),
      ],
      cwd: workerDir,
      env: workerEnvironment(device, process.env),
      stopTimeoutMs: config.stopTimeoutMs,
      recordDir: this.recordDir,
      socket,
    };
  }
}
