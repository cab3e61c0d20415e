import { randomUUID } from 'node:crypto';

import { Client } from 'pg';

/** A server the tests may make databases on; null: there is none, and what needs one says that it was skipped. */
export const postgresUrl: string | null = await findServer();

/** Why a suite is not run; for its title. */
export const NO_POSTGRES = 'no PostgreSQL answers at SAFELIGHT_TEST_DATABASE_URL or 127.0.0.1:5432';

export interface TestDatabase {
  readonly url: string;
  /** Runs a statement beside the one who is tested. */
  query(sql: string): Promise<readonly Record<string, unknown>[]>;
  /** Breaks all connections to it, as a restart of the server would. */
  disconnectAll(): Promise<void>;
  drop(): Promise<void>;
}

/** An empty database of its own. */
export async function newDatabase(): Promise<TestDatabase> {
  if (postgresUrl === null) throw new Error(NO_POSTGRES);
  const name = `safelight_test_${randomUUID().replaceAll('-', '')}`;
  await asked(postgresUrl, `CREATE DATABASE ${name}`);
  const url = new URL(postgresUrl);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    query: (sql) => asked(url.href, sql),
    disconnectAll: async () => {
      const others = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`;
      await asked(postgresUrl, others);
    },
    drop: async () => {
      await asked(postgresUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
}

async function findServer(): Promise<string | null> {
  const given = process.env['SAFELIGHT_TEST_DATABASE_URL'];
  const candidates = given
    ? [given]
    : ['root', 'postgres', process.env['USER'] ?? ''].map((user) => `postgres://${user}@127.0.0.1:5432/postgres`);
  for (const candidate of candidates) {
    try {
      await asked(candidate, 'SELECT 1');
      return candidate;
    } catch (error) {
      // What was asked for by name is an error of the one who named it.
      if (given) throw error;
    }
  }
  return null;
}

async function asked(url: string, sql: string): Promise<readonly Record<string, unknown>[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2000 });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}
