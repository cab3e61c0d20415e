import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import type { TestDatabase } from '../../support/postgres.js';
import { newDatabase } from '../../support/postgres.js';
import { NodeProcess } from '../support/node-process.js';
import type { SystemSnapshot } from '../support/system-snapshot.js';
import { systemSnapshot } from '../support/system-snapshot.js';
import { liveHeapBytes } from './live-heap.js';

export type StoreKind = 'embedded' | 'postgresql';

/** The real server with a worker process that draws nothing. */
export class NullServer {
  readonly url: string;
  private readonly node: NodeProcess;
  private readonly folder: string;
  private readonly database: TestDatabase | null;

  private constructor(node: NodeProcess, folder: string, database: TestDatabase | null) {
    this.node = node;
    this.url = node.url!;
    this.folder = folder;
    this.database = database;
  }

  /** `works` false: the worker never becomes ready, so that what is submitted stays queued. */
  static async start(store: StoreKind, works = true): Promise<NullServer> {
    const folder = mkdtempSync(join(tmpdir(), 'safelight-overhead-'));
    const database = store === 'embedded' ? null : await newDatabase();
    const python = works ? resolve('python-worker/bench/null_worker/launch') : '/bin/false';
    const node = new NodeProcess({
      name: 'overhead',
      dataDir: join(folder, 'data'),
      config: {
        http: { port: 0 },
        log: { level: 'warn' },
        devices: { ids: ['cpu:0'] },
        queue: { max_waiting: 1_000_000 },
        workers: { python, permits: 64, preview_interval_ms: 0, checkpoint_interval_ms: 0 },
      },
      env: {
        ...(database === null ? {} : { DATABASE_URL: database.url }),
        // To look into its heap: it is not the one whose latency is told.
        ...(works ? {} : { NODE_OPTIONS: '--inspect=127.0.0.1:0' }),
      },
    });
    await node.start();
    if (works) await node.ready();
    return new NullServer(node, folder, database);
  }

  systemSnapshot(): Promise<SystemSnapshot> {
    return systemSnapshot(this.url);
  }

  /** Resident bytes of the server process; Linux only, 0 elsewhere. */
  residentBytes(): number {
    if (process.platform !== 'linux') return 0;
    const kibibytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.node.pid}/status`, 'utf8'))?.[1];
    return Number(kibibytes) * 1024;
  }

  /** Bytes of live objects of a server that does not work; its garbage is collected first. */
  liveHeapBytes(): Promise<number> {
    const inspector = /Debugger listening on (ws:\S+)/.exec(readFileSync(this.node.logFile, 'utf8'))?.[1];
    if (inspector === undefined) throw new Error('the server was not started with an inspector');
    return liveHeapBytes(inspector);
  }

  async remove(): Promise<void> {
    await this.node.stop();
    await this.database?.drop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
