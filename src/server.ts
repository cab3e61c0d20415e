import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Logger } from 'pino';

import { configureHttpApp, HTTP_APP_OPTIONS } from './api/http/configure-http-app.js';
import { AppLifecycle } from './app.lifecycle.js';
import { AppModule } from './app.module.js';
import type { Settings } from './config/settings.js';
import { findDevices } from './devices/device-inventory.js';
import { SqliteJobStore } from './persistence/sqlite/sqlite-job-store.js';
import { createLog } from './telemetry/log.js';
import { NestLog } from './telemetry/nest-log.js';

/** A server that listens. */
export interface RunningServer {
  readonly url: string;
  /** Stops taking work, lets attempts in flight end within the drain limit, ends the workers. Safe to call twice. */
  close(): Promise<void>;
}

export interface ServerOverrides {
  /** Instead of the port of the settings; 0: any free one. */
  readonly port?: number;
  readonly log?: Logger;
}

/** Starts a node in this process. Whatever it opened is closed again when a later step fails. */
export async function startServer(settings: Settings, overrides: ServerOverrides = {}): Promise<RunningServer> {
  const log = overrides.log ?? createLog(settings.log.level);
  const { dataDir, artifactsDir } = settings.storage;
  await mkdir(dataDir, { recursive: true });
  await mkdir(artifactsDir, { recursive: true });
  const devices = await findDevices(settings.devices.ids);
  const store = await SqliteJobStore.open({ path: join(dataDir, 'jobs.sqlite') });
  // What to undo, last first: whoever opens something says how to close it.
  const undo: (() => Promise<void>)[] = [() => store.close()];
  const closeAll = async () => {
    const failures: unknown[] = [];
    for (const step of undo.toReversed()) await step().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, 'not everything could be closed');
  };
  try {
    const root = AppModule.compose({ settings, log, store, devices });
    const app = await NestFactory.create<NestExpressApplication>(root, {
      ...HTTP_APP_OPTIONS,
      logger: new NestLog(log),
      abortOnError: false,
    });
    undo.push(() => app.close());
    configureHttpApp(app);
    await app.listen(overrides.port ?? settings.http.port, settings.http.host);
    const lifecycle = app.get(AppLifecycle);
    // Before the sockets close, so that whoever watches a job still hears how it ends.
    undo.push(() => lifecycle.stop());
    await lifecycle.start();
    const url = addressOf(app, settings.http.host);
    const announcement = await announce(dataDir, url);
    undo.push(() => rm(announcement, { force: true }));
    log.info({ url }, 'listening');
    let closing: Promise<void> | null = null;
    return { url, close: () => (closing ??= closeAll().then(() => log.info('stopped'))) };
  } catch (error) {
    await closeAll().catch((failure: unknown) => log.error({ err: failure }, 'closing after a failed start'));
    throw error;
  }
}

function addressOf(app: NestExpressApplication, host: string): string {
  const { port } = app.getHttpServer().address() as AddressInfo;
  const reachable = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

/** Tells the command line where the server of this data folder listens. A stale file is told by its process and address. */
async function announce(dataDir: string, url: string): Promise<string> {
  const path = join(dataDir, 'server.json');
  await writeFile(`${path}.new`, JSON.stringify({ url, pid: process.pid }));
  await rename(`${path}.new`, path);
  return path;
}
