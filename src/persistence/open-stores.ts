import { join } from 'node:path';

import type { Logger } from 'pino';

import type { DatabaseConfig } from '../config/database.config.js';
import type { DeliveryStore } from '../jobs/ports/delivery-store.port.js';
import type { FootprintStore } from '../jobs/ports/footprint-store.port.js';
import type { JobStore } from '../jobs/ports/job-store.port.js';
import type { NodeStore } from '../jobs/ports/node-store.port.js';
import type { SecretStore } from '../jobs/ports/secret-store.port.js';
import { migrate } from './migrations/migrate.js';
import { openPostgres } from './postgres/open-postgres.js';
import { POSTGRES_DIALECT } from './postgres/postgres-dialect.js';
import { RowTransfer } from './sql/row-transfer.js';
import { SqlDeliveryStore } from './sql/sql-delivery-store.js';
import type { SqlDialect } from './sql/sql-dialect.js';
import { SqlFootprintStore } from './sql/sql-footprint-store.js';
import { SqlJobStore } from './sql/sql-job-store.js';
import { SqlNodeStore } from './sql/sql-node-store.js';
import { SqlSecretStore } from './sql/sql-secret-store.js';
import type { SqlRunner } from './sql/sql-runner.js';
import { SQLITE_DIALECT } from './sqlite/sqlite-dialect.js';
import { SqliteDriver } from './sqlite/sqlite-driver.js';
import { SQLITE_MIGRATIONS } from './sqlite/sqlite-migrations.js';

/** Everything that is kept in the database. */
export interface Stores {
  readonly jobs: JobStore;
  readonly nodes: NodeStore;
  readonly footprints: FootprintStore;
  readonly deliveries: DeliveryStore;
  readonly secrets: SecretStore;
  readonly transfer: RowTransfer;
  /** Safe to call twice. */
  close(): Promise<void>;
}

export interface StoreOptions {
  readonly database: Pick<DatabaseConfig, 'url' | 'poolSize'>;
  /** Folder of the embedded database. */
  readonly dataDir: string;
  readonly log: Logger;
}

/**
 * Opens the database of the settings and brings its schema up to date. Throws DatabaseInUseError, DatabaseUnusableError or
 * SchemaTooNewError.
 */
export async function openStores({ database, dataDir, log }: StoreOptions): Promise<Stores> {
  if (database.url !== null) {
    const driver = await openPostgres({ url: database.url, poolSize: database.poolSize, log });
    return storesOver(driver, POSTGRES_DIALECT, true);
  }
  const driver = await SqliteDriver.open(join(dataDir, 'jobs.sqlite'));
  try {
    await migrate(driver, SQLITE_MIGRATIONS);
    return storesOver(driver, SQLITE_DIALECT, false);
  } catch (error) {
    await driver.close();
    throw error;
  }
}

/** The stores over an open database, which they own from here on. */
export function storesOver(runner: SqlRunner, dialect: SqlDialect, isShared: boolean): Stores {
  return {
    jobs: new SqlJobStore({ runner, dialect, isShared }),
    nodes: new SqlNodeStore(runner, dialect),
    footprints: new SqlFootprintStore(runner),
    deliveries: new SqlDeliveryStore(runner, dialect),
    secrets: new SqlSecretStore(runner),
    transfer: new RowTransfer(runner),
    close: () => runner.close(),
  };
}
