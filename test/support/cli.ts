import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { mkdtempSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { execa } from 'execa';

import { tinyModelDir } from './tiny-model.js';

const NODE = resolve('node_modules/.bin/node');
const MAIN = resolve('dist/main.js');
/** A command that has not ended by then hangs: starting a worker on a busy machine is the longest thing it does. */
const COMMAND_TIMEOUT_MS = 100_000;

/** A new folder to run commands in, whose settings are for a server of its own with the tiny model. Whoever asks removes it. */
export async function folderWithSettings(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'safelight-cli-'));
  const settings = {
    data_dir: 'data',
    http: { port: 0 },
    devices: { ids: ['cpu:0'] },
    workers: { threads: 1 },
    embedded_model: false,
    models: [{ id: 'tiny', source: await tinyModelDir() }],
  };
  // JSON is YAML.
  writeFileSync(join(folder, 'safelight.yaml'), JSON.stringify(settings));
  return folder;
}

export interface CliOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts the real program; nothing of the environment's settings reaches it. */
export function startCli(args: readonly string[], { cwd, env = {} }: CliOptions) {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(SAFELIGHT_|DATABASE_URL|XDG_)/.test(name));
  return execa(NODE, ['--enable-source-maps', MAIN, ...args], {
    cwd,
    env: { ...Object.fromEntries(inherited), ...env },
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    timeout: COMMAND_TIMEOUT_MS,
  });
}

/** Runs the real program to its end. */
export async function runCli(
  args: readonly string[],
  options: CliOptions,
): Promise<{ code: number | undefined; stdout: string; stderr: string }> {
  const { exitCode, stdout, stderr } = await startCli(args, options);
  return { code: exitCode, stdout, stderr };
}

export type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/** A real HTTP server whose answers a test writes, one handler for each `METHOD /path`. */
export class StubApi {
  /** `METHOD /path` of every request, in order. */
  readonly requests: string[] = [];

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async start(routes: Readonly<Record<string, Handler>>): Promise<StubApi> {
    const server = createServer((request, response) => {
      void (async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk as Buffer);
        const { pathname } = new URL(request.url ?? '/', 'http://stub');
        const route = `${request.method} ${pathname}`;
        api.requests.push(route);
        const handler = routes[route];
        if (handler === undefined) response.writeHead(404).end();
        else handler(request, response, Buffer.concat(chunks).toString());
      })();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const api = new StubApi(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    return api;
  }

  async stop(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }
}

export function answerJson(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  const type = status >= 400 ? 'application/problem+json' : 'application/json';
  response.writeHead(status, { 'content-type': type, ...headers }).end(JSON.stringify(value));
}

/** A finished job, as a server would tell it; a test names what differs. */
export const ID = '0199c1d2-7a3b-7c4d-8e5f-60718293a4b5';
export const PICTURE_BYTES = Buffer.from('a picture');
const at = (ms: number) => new Date(Date.UTC(2026, 10, 21, 12) + ms).toISOString();

const phase = (name: string, from: number, to: number) => ({ name, started_at: at(from), finished_at: at(to) });
export const attempt = (changes = {}) => ({
  number: 1,
  worker: 'cpu:0#1',
  device: 'cpu:0',
  started_at: at(400),
  finished_at: at(3000),
  outcome: 'succeeded',
  failure: null,
  phases: [phase('encode', 400, 500), phase('denoise', 500, 2500), phase('save', 2500, 3000)],
  ...changes,
});
export const picture = (index: number) => ({
  index,
  url: `/v1/jobs/${ID}/artifacts/${index}`,
  media_type: 'image/png',
  width: 64,
  height: 64,
  bytes: PICTURE_BYTES.length,
  sha256: createHash('sha256').update(PICTURE_BYTES).digest('hex'),
  seed: 7 + index,
});
export const job = (changes = {}) => ({
  id: ID,
  object: 'job',
  state: 'succeeded',
  priority: 'normal',
  model: 'tiny',
  queue_position: null,
  created_at: at(0),
  started_at: at(400),
  finished_at: at(3000),
  progress: null,
  request: { prompt: 'a cat', seed: 7, num_images: 1 },
  attempts: [attempt()],
  artifacts: [picture(0)],
  degradations: [],
  failure: null,
  waiting_for: null,
  ...changes,
});
