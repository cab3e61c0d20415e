import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { execa } from 'execa';
import { parse } from 'yaml';

import { eventually } from './signals.js';
import { tinyModelDir } from './tiny-model.js';

/** Settings every test server has: one CPU worker of one thread, nothing but the tiny model. */
const BASE = (modelDir: string) => ({
  http: { port: 0 },
  devices: { ids: ['cpu:0'] },
  workers: { threads: 1 },
  embedded_model: false,
  models: [{ id: 'tiny', source: modelDir }],
});

export interface JobJson {
  readonly id: string;
  readonly state: string;
  readonly seed?: number;
  readonly request: Record<string, unknown>;
  readonly progress: { phase: string; step: number; steps: number } | null;
  readonly attempts: readonly { number: number; outcome: string; step: number; failure: { kind: string } | null }[];
  readonly artifacts: readonly {
    url: string;
    sha256: string;
    bytes: number;
    width: number;
    height: number;
    seed: number;
  }[];
  readonly effective: Record<string, unknown> | null;
  readonly failure: { kind: string; message: string } | null;
}

const FINAL = new Set(['succeeded', 'failed', 'cancelled', 'expired']);

/** The real program as a process of its own, on a data folder that outlives it. */
export class ServerProcess {
  private constructor(
    readonly url: string,
    readonly dataDir: string,
    readonly child: ReturnType<typeof spawn>,
    private readonly config: Config,
  ) {}

  static async start(
    config: Config = {},
    dataDir = mkdtempSync(join(tmpdir(), 'safelight-e2e-')),
  ): Promise<ServerProcess> {
    const file = join(dataDir, 'safelight.yaml');
    const base = BASE(await tinyModelDir());
    // JSON is YAML.
    writeFileSync(file, JSON.stringify({ ...base, ...config, workers: { ...base.workers, ...config.workers } }));
    const child = spawn(file, dataDir);
    const url = await eventually('the server listens', async () => {
      if (child.nodeChildProcess.exitCode !== null) throw new Error(`the server ended: ${(await child).stderr}`);
      return announced(dataDir, child.pid);
    });
    return new ServerProcess(url, dataDir, child, config);
  }

  /** The same data folder and settings, a new process. */
  restart(): Promise<ServerProcess> {
    return ServerProcess.start(this.config, this.dataDir);
  }

  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    await this.child;
  }

  /** As a power cut would. */
  async killHard(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.child;
  }

  removeData(): void {
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  async submit(body: Record<string, unknown>, headers: Record<string, string> = {}): Promise<JobJson> {
    const response = await this.post('/v1/jobs', body, headers);
    if (response.status !== 202) throw new Error(`${response.status}: ${await response.text()}`);
    return (await response.json()) as JobJson;
  }

  post(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(this.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(60_000),
    });
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(this.url + path, { signal: AbortSignal.timeout(60_000) });
    if (!response.ok) throw new Error(`GET ${path}: ${response.status}: ${await response.text()}`);
    return (await response.json()) as T;
  }

  job(id: string): Promise<JobJson> {
    return this.get(`/v1/jobs/${id}`);
  }

  /** The job once it is final. */
  finished(id: string): Promise<JobJson> {
    return eventually(`job ${id} is final`, async () => {
      const job = await this.job(id);
      return FINAL.has(job.state) ? job : null;
    });
  }

  /** The job once it denoises. */
  denoising(id: string): Promise<JobJson> {
    return eventually(`job ${id} denoises`, async () => {
      const job = await this.job(id);
      if (FINAL.has(job.state)) throw new Error(`job ${id} ended as ${job.state} before it could be looked at`);
      return job.progress?.phase === 'denoise' && job.progress.step > 0 ? job : null;
    });
  }

  async picture(job: JobJson, index = 0): Promise<Buffer> {
    const response = await fetch(this.url + job.artifacts[index]!.url);
    return Buffer.from(await response.arrayBuffer());
  }

  /** The one worker once it takes work. */
  async workerPid(): Promise<number> {
    return eventually('the worker is ready', async () => {
      const { data } = await this.get<{ data: { pid: number; state: string }[] }>('/v1/workers');
      const [worker] = data;
      return worker !== undefined && (worker.state === 'ready' || worker.state === 'busy') ? worker.pid : null;
    });
  }
}

type Config = Readonly<Record<string, unknown>> & { readonly workers?: Readonly<Record<string, unknown>> };

function spawn(configFile: string, dataDir: string) {
  return execa('node_modules/.bin/node', ['--enable-source-maps', 'dist/main.js', 'serve', '--config', configFile], {
    env: { SAFELIGHT_DATA_DIR: dataDir },
    reject: false,
    forceKillAfterDelay: 20_000,
  });
}

/** What the server wrote about itself, when this very process wrote it. */
async function announced(dataDir: string, pid: number | undefined): Promise<string | null> {
  const { readFile } = await import('node:fs/promises');
  const text = await readFile(join(dataDir, 'server.json'), 'utf8').catch(() => null);
  const server = text === null ? null : (parse(text) as { url: string; pid: number });
  return server !== null && server.pid === pid ? server.url : null;
}
