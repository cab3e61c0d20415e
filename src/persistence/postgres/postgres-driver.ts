import { setTimeout as wait } from 'node:timers/promises';

import type { PoolClient, PoolConfig, QueryConfig } from 'pg';
import { DatabaseError, Pool, types } from 'pg';
import type { Logger } from 'pino';

import { StoreUnavailableError } from '../../jobs/ports/job-store.port.js';
import type { GroupResult, Row, SqlRunner, SqlValue, Statement, StatementGroup } from '../sql/sql-runner.js';
import { PlanNames } from './plan-names.js';
import { isConflict, toStoreError } from './postgres-errors.js';

/** Time a connection may take to be made or to come free, in milliseconds. */
const CONNECT_TIMEOUT_MS = 5000;

/** Time the server may take over one statement, in milliseconds; the slowest of ours delete a few hundred jobs. */
const STATEMENT_TIMEOUT_MS = 30_000;

/** How much longer than that a server that says nothing at all is waited for. */
const PATIENCE = 7 / 6;

/**
 * Time after which the server ends a transaction whose node sends nothing, in milliseconds: one that was stopped or lost its
 * power in the middle holds rows that the others write. Ours send the next statement at once.
 */
const IDLE_TRANSACTION_MS = 10_000;

/** Times a group is tried that another one got in the way of. */
const CONFLICT_TRIES = 5;

/** PostgreSQL's number of the type bigint. Ours are times and sizes, far below 2^53. */
const INT8 = 20;

export interface PostgresOptions {
  readonly url: string;
  readonly poolSize: number;
  readonly log: Logger;
  /** Time the server may take over one statement, in milliseconds. */
  readonly statementTimeoutMs?: number;
}

/** Asks on a connection of one's own; `timeoutMs` where the server may take longer than usual. */
export type Ask = (sql: string, timeoutMs?: number) => Promise<void>;

type Begin = 'BEGIN' | 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY';

/** For all connections: the texts are the same. */
const planNames = new PlanNames();

/** Runs groups of statements on connections of a pool, each group in a transaction. */
export class PostgresDriver implements SqlRunner {
  private readonly pool: Pool;
  private readonly underWay = new Set<Promise<unknown>>();
  private closing: Promise<void> | null = null;

  constructor({ url, poolSize, log, statementTimeoutMs = STATEMENT_TIMEOUT_MS }: PostgresOptions) {
    this.pool = new Pool(connectionSettings(url, poolSize, statementTimeoutMs));
    // A connection that breaks while nobody uses it is replaced at the next use; unheard, the event would end the process.
    this.pool.on('error', (error) => log.warn({ err: error }, 'a connection to the database broke'));
  }

  run(group: StatementGroup): Promise<GroupResult> {
    return this.track(group, 'BEGIN');
  }

  read(group: StatementGroup): Promise<GroupResult> {
    return this.track(group, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  }

  private track(group: StatementGroup, begin: Begin): Promise<GroupResult> {
    if (this.closing !== null) return Promise.reject(new StoreUnavailableError('it is closed'));
    const running = this.runUntilDone(group, begin);
    this.underWay.add(running);
    // Both ways, for the bookkeeping alone: the caller has the promise itself.
    const done = () => void this.underWay.delete(running);
    running.then(done, done);
    return running;
  }

  private async runUntilDone(group: StatementGroup, begin: Begin): Promise<GroupResult> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.runOnce(group, begin);
      } catch (error) {
        if (!isConflict(error) || tries === CONFLICT_TRIES) throw toStoreError(error);
        await wait(Math.random() * 10 * 2 ** tries);
      }
    }
  }

  /** Runs something on a connection of its own, such as what holds a lock over several groups. */
  async withConnection<T>(use: (ask: Ask) => Promise<T>): Promise<T> {
    const client = await this.pool.connect().catch((error: unknown) => {
      throw toStoreError(error);
    });
    const ignore = () => undefined;
    client.on('error', ignore);
    try {
      return await use(async (text, timeoutMs) => {
        const query: QueryConfig & { query_timeout?: number } = { text };
        if (timeoutMs !== undefined) query.query_timeout = timeoutMs;
        await client.query(query).catch((error: unknown) => {
          throw toStoreError(error);
        });
      });
    } finally {
      client.off('error', ignore);
      // Not used again: what was set on it must not reach others.
      client.release(true);
    }
  }

  close(): Promise<void> {
    this.closing ??= Promise.allSettled(this.underWay).then(() => this.pool.end());
    return this.closing;
  }

  private async runOnce(group: StatementGroup, begin: Begin): Promise<GroupResult> {
    const client = await this.pool.connect();
    // The statement under way is told as well; unheard, the event would end the process.
    let broken: Error | undefined;
    const onError = (error: Error) => (broken = error);
    client.on('error', onError);
    try {
      const [only] = group;
      if (only !== undefined && group.length === 1) {
        const rows = await runStatement(client, only, []);
        return { rows: [rows], stoppedAt: only.stopIfRows === true && rows.length > 0 ? 0 : null };
      }
      await client.query(begin);
      const result = await runAll(client, group);
      await client.query(result.stoppedAt === null ? 'COMMIT' : 'ROLLBACK');
      return result;
    } catch (error) {
      // What is no answer of the server leaves a connection nobody knows the state of.
      if (error instanceof DatabaseError) await client.query('ROLLBACK').catch(onError);
      else broken = error as Error;
      throw error;
    } finally {
      client.off('error', onError);
      // A connection that broke, or could not even roll back, is closed and not given to the next.
      client.release(broken);
    }
  }
}

async function runAll(client: PoolClient, group: StatementGroup): Promise<GroupResult> {
  const rows: Row[][] = [];
  for (const [index, statement] of group.entries()) {
    const found = await runStatement(client, statement, rows);
    rows.push(found);
    if (statement.stopIfRows === true && found.length > 0) return { rows, stoppedAt: index };
  }
  return { rows, stoppedAt: null };
}

async function runStatement(
  client: PoolClient,
  { sql, params, forEachRowOf }: Statement,
  rows: readonly (readonly Row[])[],
): Promise<Row[]> {
  // What has no parameters is asked seldom, or once: migrations.
  const query = { name: params.length === 0 ? undefined : planNames.of(sql), text: sql };
  if (forEachRowOf === undefined) return (await client.query<Row>({ ...query, values: params as SqlValue[] })).rows;
  const found: Row[] = [];
  for (const row of rows[forEachRowOf] ?? []) {
    const values = params.map((param) =>
      param !== null && typeof param === 'object' ? (row[param.column] ?? null) : param,
    );
    found.push(...(await client.query<Row>({ ...query, values })).rows);
  }
  return found;
}

function connectionSettings(url: string, poolSize: number, statementTimeoutMs: number): PoolConfig {
  return {
    connectionString: url,
    application_name: 'safelight',
    max: poolSize,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: statementTimeoutMs,
    query_timeout: Math.ceil(statementTimeoutMs * PATIENCE),
    idle_in_transaction_session_timeout: IDLE_TRANSACTION_MS,
    keepAlive: true,
    types: {
      getTypeParser: (type: number, format?: 'text' | 'binary') =>
        type === INT8 ? Number : (types.getTypeParser(type, format) as (value: string) => unknown),
    },
  };
}
