import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { eventually } from '../../support/signals.js';
import { atExit } from './at-exit.js';

const START_LIMIT_MS = 120_000;

export interface NodeSettings {
  readonly name: string;
  readonly dataDir: string;
  /** What goes into its `safelight.yaml`. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Undefined takes a variable away that it would have. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface WorkerJson {
  readonly id: string;
  readonly node: string;
  readonly state: string;
  readonly pid: number | null;
  readonly running: number;
  readonly versions: Readonly<Record<string, string>> | null;
}

/** One server, as a process that may be killed and started again on the same data folder under the same name. */
export class NodeProcess {
  readonly settings: NodeSettings;
  /** The process; null while it is down. */
  private child: ChildProcess | null = null;
  private address: string | null = null;

  constructor(settings: NodeSettings) {
    this.settings = settings;
  }

  get name(): string {
    return this.settings.name;
  }

  /** Null while nobody listens. */
  get url(): string | null {
    return this.address;
  }

  get pid(): number | null {
    return this.child?.pid ?? null;
  }

  /** Its log; it goes on over restarts. */
  get logFile(): string {
    return join(this.settings.dataDir, 'node.log');
  }

  /** Resolves when it listens. */
  async start(): Promise<void> {
    const { dataDir, config, env } = this.settings;
    mkdirSync(dataDir, { recursive: true });
    const file = join(dataDir, 'safelight.yaml');
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(config));
    const log = openSync(this.logFile, 'a');
    const child = spawn('node_modules/.bin/node', ['--enable-source-maps', 'dist/main.js', 'serve', '--config', file], {
      env: {
        ...process.env,
        SAFELIGHT_DATA_DIR: dataDir,
        SAFELIGHT_NODE_NAME: this.name,
        OMP_NUM_THREADS: '1',
        ...env,
      },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.child = child;
    child.once(
      'exit',
      atExit(() => child.kill('SIGKILL')),
    );
    this.address = await eventually(
      `node ${this.name} listens`,
      () => {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`node ${this.name} ended as it started; its log is ${this.logFile}`);
        return Promise.resolve(announced(dataDir, child.pid));
      },
      START_LIMIT_MS,
    );
  }

  /** As a power cut would. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** Asks it to stop, with force after a time. */
  async stop(limitMs = 30_000): Promise<void> {
    const force = setTimeout(() => this.child?.kill('SIGKILL'), limitMs);
    try {
      await this.end('SIGTERM');
    } finally {
      clearTimeout(force);
    }
  }

  /** Its workers; none while nobody listens. */
  async workers(): Promise<readonly WorkerJson[]> {
    if (this.address === null) return [];
    const response = await fetch(`${this.address}/v1/workers`, { signal: AbortSignal.timeout(5000) });
    const { data } = (await response.json()) as { data: WorkerJson[] };
    return data.filter(({ node }) => node === this.name);
  }

  /** Resolves when one of its workers takes work. */
  async ready(): Promise<void> {
    await eventually(
      `a worker of node ${this.name} is ready`,
      async () => {
        const workers = await this.workers();
        return workers.some(({ state }) => state === 'ready' || state === 'busy') ? true : null;
      },
      START_LIMIT_MS,
    );
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    this.child = null;
    this.address = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }
}

/** What the server wrote about itself, when this very process wrote it. */
function announced(dataDir: string, pid: number | undefined): string | null {
  try {
    const server = JSON.parse(readFileSync(join(dataDir, 'server.json'), 'utf8')) as { url: string; pid: number };
    return server.pid === pid ? server.url : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
