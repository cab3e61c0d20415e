import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import { answerOf, GrpcClients } from '../test/support/grpc-client.js';
import { newDatabase, NO_POSTGRES, postgresUrl } from '../test/support/postgres.js';
import { DevicesConfig } from './config/devices.config.js';
import { GrpcConfig } from './config/grpc.config.js';
import { loadSettings } from './config/load-settings.js';
import type { Settings } from './config/settings.js';
import type { RunningServer } from './server.js';
import { startServer } from './server.js';

const log = pino({ level: 'silent' });

describe('A server without devices', () => {
  let folders: string[];
  let servers: RunningServer[];
  beforeEach(() => {
    folders = [];
    servers = [];
  });
  afterEach(async () => {
    for (const server of servers) await server.close();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });

  async function start(
    node: string,
    databaseUrl: string | null,
    grpc = new GrpcConfig(),
    folder = mkdtempSync(join(tmpdir(), 'safelight-server-')),
  ): Promise<RunningServer> {
    folders.push(folder);
    const env = {
      SAFELIGHT_DATA_DIR: folder,
      SAFELIGHT_NODE_NAME: node,
      SAFELIGHT_MODELS_EMBEDDED: 'true',
      ...(databaseUrl === null ? {} : { DATABASE_URL: databaseUrl, SAFELIGHT_DATABASE_LEASE_MS: '1500' }),
    };
    const settings: Settings = loadSettings({ env, cwd: folder, homeDir: folder });
    const server = await startServer({ ...settings, devices: new DevicesConfig({ ids: [] }), grpc }, { log, port: 0 });
    servers.push(server);
    return server;
  }

  it('closes all it opened, and says that it ended as asked', async () => {
    const server = await start('one', null);
    expect((await fetch(`${server.url}/v1/workers`)).status).toBe(200);
    await server.close();
    expect(await server.ended).toBeNull();
    expect(existsSync(join(folders[0]!, 'server.json'))).toBe(false);
    await expect(fetch(server.url)).rejects.toThrow('fetch failed');
  });

  it('serves gRPC beside HTTP, and not when it is turned off', async () => {
    const server = await start('one', null);
    expect(server.grpcAddress).toMatch(/^127\.0\.0\.1:\d+$/);
    const clients = new GrpcClients(server.grpcAddress!);
    const { models } = await answerOf(clients.catalog.listModels.bind(clients.catalog), {});
    expect(models.map(({ id }) => id)).toEqual(['shapes']);
    clients.close();
    const told = JSON.parse(readFileSync(join(folders[0]!, 'server.json'), 'utf8')) as { grpc: string };
    expect(told.grpc).toBe(server.grpcAddress);
    expect((await start('two', null, new GrpcConfig({ enabled: false }))).grpcAddress).toBeNull();
  });

  it('tells the key of server.json to nobody else, also where such a file was left lying', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'safelight-server-'));
    const elsewhere = join(folder, 'elsewhere');
    const left = (name: string) => {
      writeFileSync(join(folder, name), '{}');
      chmodSync(join(folder, name), 0o666);
    };
    left('server.json');
    symlinkSync(elsewhere, join(folder, 'server.json.new'));
    await start('one', null, new GrpcConfig({ enabled: false }), folder);
    expect(statSync(join(folder, 'server.json')).mode & 0o777).toBe(0o600);
    expect(lstatSync(join(folder, 'server.json')).isFile()).toBe(true);
    expect(existsSync(elsewhere)).toBe(false);
    await servers.pop()?.close();
    left('server.json.new');
    await start('one', null, new GrpcConfig({ enabled: false }), folder);
    expect(statSync(join(folder, 'server.json')).mode & 0o777).toBe(0o600);
  });

  it('leaves nothing open when another program listens where gRPC was to be', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const failing = start('one', null, new GrpcConfig({ port }));
    await expect(failing).rejects.toMatchObject({ name: 'GrpcListenError', code: 'EADDRINUSE', port });
    expect(existsSync(join(folders[0]!, 'server.json'))).toBe(false);
    other.close();
  });

  const suite = postgresUrl === null ? describe.skip : describe;
  suite(postgresUrl === null ? `of a shared database (skipped: ${NO_POSTGRES})` : 'of a shared database', () => {
    it('stops, and says why, when another takes its name', async () => {
      const database = await newDatabase();
      try {
        const first = await start('same', database.url);
        const second = await start('same', database.url);
        expect(await first.ended).toMatchObject({ name: 'SupersededError' });
        await expect(fetch(first.url)).rejects.toThrow('fetch failed');
        expect((await fetch(`${second.url}/v1/workers`)).status).toBe(200);
        await second.close();
        expect(await second.ended).toBeNull();
      } finally {
        await database.drop();
      }
    });
  });
});
