import { StoreUnavailableError } from '../../jobs/ports/job-store.port.js';
import { migrate } from '../migrations/migrate.js';
import type { PostgresOptions } from './postgres-driver.js';
import { PostgresDriver } from './postgres-driver.js';
import { POSTGRES_MIGRATIONS } from './postgres-migrations.js';

/** Held while the schema is brought up to date, so that of nodes that start together one does it. Any number will do. */
const MIGRATION_LOCK = 7_265_110;

/** Time another node may take to bring the schema up to date, in milliseconds. */
const MIGRATION_TIMEOUT_MS = 10 * 60_000;

/** The database cannot be used: what to do about it is for whoever starts the server. */
export class DatabaseUnusableError extends Error {
  constructor(url: string, cause: Error) {
    const { hostname, port, pathname } = new URL(url);
    super(`the database ${pathname.slice(1)} at ${hostname}:${port || '5432'} cannot be used: ${cause.message}`, {
      cause,
    });
    this.name = 'DatabaseUnusableError';
  }
}

/** A database whose schema is that of this version. Throws {@link DatabaseUnusableError} when it does not answer. */
export async function openPostgres(options: PostgresOptions): Promise<PostgresDriver> {
  const driver = new PostgresDriver(options);
  try {
    await driver.withConnection(async (ask) => {
      await ask(`SET statement_timeout = ${MIGRATION_TIMEOUT_MS}`);
      await ask(`SELECT pg_advisory_lock(${MIGRATION_LOCK})`, MIGRATION_TIMEOUT_MS);
      // Ends with the connection, whatever happens here.
      await migrate(driver, POSTGRES_MIGRATIONS);
    });
    return driver;
  } catch (error) {
    await driver.close();
    throw error instanceof StoreUnavailableError ? new DatabaseUnusableError(options.url, error) : error;
  }
}
