import { mkdirSync, rmSync } from 'node:fs';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Logger } from 'pino';

import type { WorkersConfig } from '../config/workers.config.js';
import type { ReadyWorker } from '../dispatch/ports/worker-pool.port.js';
import { WorkerPool } from '../dispatch/ports/worker-pool.port.js';
import type { Device } from '../domain/placement/device.js';
import type { WorkerDescription } from '../domain/placement/worker-description.js';
import type { WorkerInventory } from '../jobs/ports/worker-inventory.port.js';
import type { LoadableModel } from './client/plan-to-wire.js';
import { deviceInsideWorker, workerEnvironment } from './supervision/worker-environment.js';
import type { WorkerCommand } from './supervision/worker-process.js';
import { WorkerSupervisor } from './supervision/worker-supervisor.js';

/** Longest path of a Unix socket, less the name of the file and a margin (sun_path holds 104 bytes on macOS, 108 on Linux). */
const LONGEST_RUN_DIR = 80;

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
  /** Models that leave a device after a time without jobs, whatever loaded them. */
  readonly keptAlive: readonly LoadableModel[];
  readonly logLevel: string;
  readonly log: Logger;
}

/** The workers of this node: a supervised process per device. */
export class SupervisedWorkerPool extends WorkerPool implements WorkerInventory {
  private readonly supervisors: readonly WorkerSupervisor[];
  private readonly listeners = new Set<() => void>();
  private readonly runDir: string;

  constructor(private readonly options: PoolOptions) {
    super();
    this.runDir = makeRunDir(options.dataDir);
    this.supervisors = options.devices.map((device) => this.supervisorFor(device));
  }

  start(): void {
    for (const supervisor of this.supervisors) supervisor.start();
  }

  /** Takes no more attempts; those in flight go on. */
  drain(): void {
    for (const supervisor of this.supervisors) supervisor.drain();
  }

  async stop(): Promise<void> {
    await Promise.all(this.supervisors.map((supervisor) => supervisor.stop()));
    rmSync(this.runDir, { recursive: true, force: true });
  }

  list(): readonly WorkerDescription[] {
    return this.supervisors.map((supervisor) => supervisor.describe());
  }

  ready(): readonly ReadyWorker[] {
    return this.supervisors.filter((supervisor) => supervisor.takesAttempts);
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private supervisorFor(device: Device): WorkerSupervisor {
    const { config, node, preload, keptAlive, log } = this.options;
    const id = device.id.replace(':', '-');
    return new WorkerSupervisor({
      id,
      node,
      device,
      config,
      preload,
      keptAlive,
      command: (incarnation) => this.command(device, join(this.runDir, `${id}-${incarnation}.sock`)),
      onChange: () => {
        for (const listener of this.listeners) listener();
      },
      log: log.child({ worker: id }),
    });
  }

  private command(device: Device, socket: string): WorkerCommand {
    const { config, workerDir, dataDir, logLevel } = this.options;
    return {
      python: config.python ?? join(workerDir, '.venv', 'bin', 'python'),
      args: [
        ...['-m', 'safelight_worker', '--socket', socket, '--device', deviceInsideWorker(device)],
        ...['--data-dir', join(dataDir, 'worker-cache'), '--log-level', logLevel],
        ...(config.threads > 0 ? ['--threads', String(config.threads)] : []),
        ...(config.memoryBudgetBytes > 0 ? ['--memory-budget-bytes', String(config.memoryBudgetBytes)] : []),
      ],
      cwd: workerDir,
      env: workerEnvironment(device, process.env),
      stopTimeoutMs: config.stopTimeoutMs,
    };
  }
}

/** An empty folder only we can read: in the data folder, or where the path is short enough for a socket. */
function makeRunDir(dataDir: string): string {
  const folder = join(dataDir, 'run');
  if (Buffer.byteLength(folder) > LONGEST_RUN_DIR) return mkdtempSync(join(tmpdir(), 'safelight-'));
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}
