import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import type { TestDatabase } from '../../support/postgres.js';
import { newDatabase } from '../../support/postgres.js';
import { isAlive } from '../../support/signals.js';
import { NodeProcess } from '../support/node-process.js';
import { smallDisk, type SmallDisk } from './small-disk.js';

export interface ClusterOptions {
  readonly nodes: 1 | 3;
  readonly folder: string;
  /** Rules of out-of-memory for the workers; empty: none. */
  readonly faultRules: string;
  readonly restartDatabase: string | null;
}

/**
 * Shorter than the defaults, so that minutes of a storm hold what would take hours. Three nodes lease for three seconds.
 */
const CONFIG = {
  http: { port: 0 },
  devices: { ids: ['cpu:0'] },
  queue: { max_waiting: 1000 },
  retry: { backoff_base_ms: 100, backoff_cap_ms: 2000 },
  workers: {
    threads: 1,
    health_interval_ms: 250,
    stall_floor_ms: 5000,
    stall_timeout_ms: 30_000,
    restart_base_ms: 50,
    restart_cap_ms: 1000,
    breaker_retry_ms: 2000,
    checkpoint_interval_ms: 100,
  },
  shutdown: { drain_ms: 10_000 },
};
const LEASE_MS = 3000;

/** One node with its own database, or three that share one and a folder of artifacts. */
export class Cluster {
  readonly nodes: readonly NodeProcess[];
  /** Null: the embedded one. */
  readonly database: TestDatabase | null;
  readonly disk: SmallDisk;
  readonly options: ClusterOptions;
  /** Every worker process there ever was. */
  readonly workerPids = new Set<number>();

  private constructor(options: ClusterOptions, database: TestDatabase | null, disk: SmallDisk) {
    this.options = options;
    this.database = database;
    this.disk = disk;
    this.nodes = Array.from({ length: options.nodes }, (_, index) => this.nodeOf(`node-${index + 1}`));
  }

  /** Resolves when every node has a worker that takes work. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    mkdirSync(options.folder, { recursive: true });
    const database = options.nodes === 1 ? null : await newDatabase();
    const cluster = new Cluster(options, database, smallDisk(join(options.folder, 'artifacts')));
    try {
      // One after the other: the first makes the tables, and the machine is small.
      for (const node of cluster.nodes) await node.start();
      await Promise.all(cluster.nodes.map((node) => node.ready()));
    } catch (error) {
      await cluster.remove();
      throw error;
    }
    return cluster;
  }

  /** The file of the embedded database. */
  get databaseFile(): string {
    return join(this.nodes[0]!.settings.dataDir, 'jobs.sqlite');
  }

  /** Addresses of the nodes that listen. */
  get urls(): readonly string[] {
    return this.nodes.flatMap(({ url }) => (url === null ? [] : [url]));
  }

  async noteWorkers(): Promise<void> {
    for (const node of this.nodes) {
      const workers = await node.workers().catch(() => []);
      for (const { pid } of workers) if (pid !== null) this.workerPids.add(pid);
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  /** Workers that outlived their nodes, which have stopped. */
  orphans(): readonly number[] {
    return [...this.workerPids].filter(isAlive);
  }

  /** Leaves nothing behind. */
  async remove(): Promise<void> {
    await this.stop();
    this.disk.remove();
    await this.database?.drop();
    rmSync(this.options.folder, { recursive: true, force: true });
  }

  private nodeOf(name: string): NodeProcess {
    const { folder, faultRules } = this.options;
    return new NodeProcess({
      name,
      dataDir: join(folder, name),
      config: this.database === null ? CONFIG : { ...CONFIG, database: { lease_ms: LEASE_MS } },
      env: {
        SAFELIGHT_ARTIFACTS_DIR: this.disk.folder,
        ...(this.database === null ? {} : { DATABASE_URL: this.database.url }),
        ...(faultRules === '' ? {} : { SAFELIGHT_FAULT_RULES: faultRules }),
      },
    });
  }
}
