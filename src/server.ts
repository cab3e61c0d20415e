import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';

import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Logger } from 'pino';

import { connectGrpc } from './api/grpc/serving/connect-grpc.js';
import { configureHttpApp, HTTP_APP_OPTIONS } from './api/http/configure-http-app.js';
import { AppLifecycle } from './app.lifecycle.js';
import { AppModule } from './app.module.js';
import { openArtifactStore } from './artifacts/open-artifact-store.js';
import { grpcPort } from './config/grpc.config.js';
import type { Settings } from './config/settings.js';
import { findDevices } from './devices/device-inventory.js';
import { openJobEvents } from './events/open-job-events.js';
import { openStores } from './persistence/open-stores.js';
import { createLog } from './telemetry/log.js';
import { NestLog } from './telemetry/nest-log.js';
import { openTracing } from './telemetry/tracing/open-tracing.js';
import { VERSION } from './telemetry/version.js';

/** A server that listens. */
export interface RunningServer {
  readonly url: string;
  /** `host:port` as gRPC clients take it; null: gRPC is not served. */
  readonly grpcAddress: string | null;
  /** Opens everything on this server, until it is closed. */
  readonly key: string;
  /** Resolves when the server is closed: with null because it was asked to, else with why it could not go on. */
  readonly ended: Promise<Error | null>;
  /** Stops taking work, lets attempts in flight end within the drain limit, ends the workers. Safe to call twice. */
  close(): Promise<void>;
}

export interface ServerOverrides {
  /** Instead of `http.port`; 0: any free one. */
  readonly port?: number;
  readonly log?: Logger;
}

/** Starts a node in this process. Whatever it opened is closed again when a later step fails. */
export async function startServer(settings: Settings, overrides: ServerOverrides = {}): Promise<RunningServer> {
  const log = overrides.log ?? createLog(settings.log.level);
  const { dataDir } = settings.storage;
  const node = { id: randomUUID(), name: settings.node.name };
  const localKey = randomBytes(32).toString('base64url');
  // What to undo, last first: whoever opens something says how to close it.
  const undo: (() => Promise<void>)[] = [];
  const closeAll = async () => {
    const failures: unknown[] = [];
    for (const step of undo.toReversed()) await step().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, 'not everything could be closed');
  };
  try {
    await mkdir(dataDir, { recursive: true });
    const tracing = await openTracing({ config: settings.telemetry, node: node.name, version: VERSION, log });
    undo.push(() => tracing.close());
    const devices = await findDevices(settings.devices.ids);
    const stores = await openStores({ database: settings.database, dataDir, log });
    undo.push(() => stores.close());
    const events = await openJobEvents({ databaseUrl: settings.database.url, node, log });
    undo.push(() => events.close());
    const artifacts = await openArtifactStore({ ...settings, log });
    undo.push(async () => artifacts.close());
    const root = AppModule.compose({ settings, log, node, stores, artifacts, events, devices, tracing, localKey });
    const app = await NestFactory.create<NestExpressApplication>(root, {
      ...HTTP_APP_OPTIONS,
      logger: new NestLog(log),
      abortOnError: false,
    });
    undo.push(() => app.close());
    configureHttpApp(app);
    const port = overrides.port ?? settings.http.port;
    const grpc = settings.grpc.enabled ? await connectGrpc(app, grpcPort(settings.grpc, port)) : null;
    await app.listen(port, settings.http.host);
    const grpcHost = reachable(settings.http.host, '127.0.0.1');
    const grpcAddress = grpc === null ? null : `${grpcHost}:${await grpc.listen()}`;
    const lifecycle = app.get(AppLifecycle);
    // Before the sockets close, so that whoever watches a job still hears how it ends.
    undo.push(() => lifecycle.stop());
    const url = addressOf(app, settings.http.host, '127.0.0.1');
    await lifecycle.start(addressOf(app, settings.http.host, hostname()));
    const announcement = await announce(dataDir, { url, grpc: grpcAddress, pid: process.pid, key: localKey });
    undo.push(() => rm(announcement, { force: true }));
    log.info({ url, grpc: grpcAddress }, 'listening');
    return running({ url, grpcAddress, key: localKey }, closeAll, lifecycle, log);
  } catch (error) {
    await closeAll().catch((failure: unknown) => log.error({ err: failure }, 'closing after a failed start'));
    throw error;
  }
}

function running(
  reached: Pick<RunningServer, 'url' | 'grpcAddress' | 'key'>,
  closeAll: () => Promise<void>,
  lifecycle: AppLifecycle,
  log: Logger,
): RunningServer {
  const { promise: ended, resolve } = Promise.withResolvers<Error | null>();
  let closing: Promise<void> | null = null;
  const close = () => (closing ??= closeAll().then(() => log.info('stopped')));
  void lifecycle.broken.then(async (why) => {
    log.fatal({ err: why }, 'the server cannot go on and stops');
    await close().catch((error: unknown) => log.error({ err: error }, 'closing a server that cannot go on'));
    resolve(why);
  });
  return { ...reached, ended, close: () => close().finally(() => resolve(null)) };
}

function addressOf(app: NestExpressApplication, host: string, wildcard: string): string {
  const { port } = app.getHttpServer().address() as AddressInfo;
  return `http://${reachable(host, wildcard)}:${port}`;
}

/** `wildcard`: what stands for a host that means all addresses. */
function reachable(host: string, wildcard: string): string {
  const one = host === '0.0.0.0' || host === '::' ? wildcard : host;
  return one.includes(':') ? `[${one}]` : one;
}

/**
 * Tells the command line where the server of this data folder listens, and a key that opens it: whoever may read this file may
 * read the jobs too. A stale file is told by its process and address.
 */
async function announce(
  dataDir: string,
  told: { url: string; grpc: string | null; pid: number; key: string },
): Promise<string> {
  const path = join(dataDir, 'server.json');
  // A file that is there already would keep its mode, and a link would lead elsewhere.
  await rm(`${path}.new`, { force: true });
  await writeFile(`${path}.new`, JSON.stringify(told), { mode: 0o600, flag: 'wx' });
  await rename(`${path}.new`, path);
  return path;
}
