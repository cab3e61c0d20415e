import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { OpenedArtifactStore } from './artifacts/open-artifact-store.js';
import { openArtifactStore } from './artifacts/open-artifact-store.js';
import type { ExportSource } from './cli/transfer/export-jobs.js';
import type { ImportTarget } from './cli/transfer/import-jobs.js';
import type { Settings } from './config/settings.js';
import type { Stores } from './persistence/open-stores.js';
import { openStores } from './persistence/open-stores.js';
import { createLog } from './telemetry/log.js';

/** The data folder holds no database: there is nothing to export. */
export class NoDatabaseError extends Error {
  constructor(path: string) {
    super(`there is no database ${path}`);
    this.name = 'NoDatabaseError';
  }
}

/** Opens the embedded database, whatever shared one the settings name. Throws what its adapters throw, and NoDatabaseError. */
export async function openExportSource(settings: Settings): Promise<ExportSource & AsyncDisposable> {
  const path = join(settings.storage.dataDir, 'jobs.sqlite');
  if (!existsSync(path)) throw new NoDatabaseError(path);
  const { stores, artifacts, dispose } = await open(settings, null);
  return {
    schema: stores.transfer.schema,
    rows: () => stores.transfer.rows(),
    files: artifacts,
    [Symbol.asyncDispose]: dispose,
  };
}

/** Opens the database and the store of artifacts a server with these settings would use. Throws what their adapters throw. */
export async function openImportTarget(settings: Settings): Promise<ImportTarget & AsyncDisposable> {
  await mkdir(settings.storage.dataDir, { recursive: true });
  const { stores, artifacts, dispose } = await open(settings, settings.database.url);
  return {
    schema: stores.transfer.schema,
    importRows: (rows) => stores.transfer.importRows(rows),
    has: async (jobId) => (await stores.jobs.get(jobId)) !== null,
    files: artifacts,
    [Symbol.asyncDispose]: dispose,
  };
}

/** The database first: while a server holds it, nothing of the artifacts is touched. */
async function open(settings: Settings, url: string | null) {
  const { database, storage, artifacts: artifactsConfig, node } = settings;
  // The commands tell what they do; of the adapters only what goes wrong is of interest.
  const log = createLog('warn');
  const stores: Stores = await openStores({
    database: { url, poolSize: database.poolSize },
    dataDir: storage.dataDir,
    log,
  });
  let artifacts: OpenedArtifactStore;
  try {
    artifacts = await openArtifactStore({ storage, artifacts: artifactsConfig, node, log });
  } catch (error) {
    await stores.close();
    throw error;
  }
  const dispose = async () => {
    artifacts.close();
    await stores.close();
  };
  return { stores, artifacts, dispose };
}
