import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';

import { Client } from 'pg';
import { pino } from 'pino';

import { DatabaseConfig } from '../../src/config/database.config.js';
import { StoreUnavailableError } from '../../src/jobs/ports/job-store.port.js';
import type { Stores } from '../../src/persistence/open-stores.js';
import { openStores, storesOver } from '../../src/persistence/open-stores.js';
import { POSTGRES_DIALECT } from '../../src/persistence/postgres/postgres-dialect.js';
import { PostgresDriver } from '../../src/persistence/postgres/postgres-driver.js';
import type { TransferRow } from '../../src/persistence/sql/row-transfer.js';
import type { SqlRunner, StatementGroup } from '../../src/persistence/sql/sql-runner.js';
import { newJob, NOON } from '../support/jobs.js';
import type { TestDatabase } from '../support/postgres.js';
import { newDatabase, NO_POSTGRES, postgresUrl } from '../support/postgres.js';
import { eventually } from '../support/signals.js';
import { CLAIMER, LOST, ROOMY, warm } from './job-store/harness.js';

const LOG = pino({ level: 'silent' });

const describeOnPostgres = postgresUrl === null ? describe.skip : describe;

describeOnPostgres(`PostgreSQL beside others${postgresUrl === null ? ` (skipped: ${NO_POSTGRES})` : ''}`, () => {
  let database: TestDatabase;
  let stores: Stores;
  let other: Client;

  beforeEach(async () => {
    database = await newDatabase();
    stores = await openStores({ database: new DatabaseConfig({ url: database.url }), dataDir: '', log: LOG });
    other = new Client({ connectionString: database.url });
    await other.connect();
  });
  afterEach(async () => {
    await other.end();
    await stores.close();
    await database.drop();
  });

  async function running(): Promise<string> {
    const job = newJob();
    await stores.jobs.insert([job], ROOMY, null);
    await stores.jobs.claimNext(warm(['shapes'], 0), CLAIMER, NOON);
    return job.id;
  }

  /** Resolves when a statement of the store waits for what `other` holds. */
  async function aStatementWaits(): Promise<void> {
    await eventually('a statement waits for a lock', async () => {
      const waiting = await database.query(
        `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return waiting.length > 0 ? true : null;
    });
  }

  async function exported(): Promise<TransferRow[]> {
    const rows: TransferRow[] = [];
    for await (const row of stores.transfer.rows()) rows.push(row);
    return rows;
  }

  it('shows a job and its attempts as of one moment', async () => {
    const id = await running();
    await other.query('BEGIN; LOCK TABLE attempt IN ACCESS EXCLUSIVE MODE');
    const reading = stores.jobs.get(id);
    await aStatementWaits();
    await other.query(`UPDATE attempt SET outcome = 'succeeded', finished_at = 1;
      UPDATE job SET state = 'succeeded', finished_at = 1, effective = '{}'; COMMIT`);

    expect(await reading).toMatchObject({ state: 'running', attempts: [{ outcome: 'running' }] });
    expect(await stores.jobs.get(id)).toMatchObject({ state: 'succeeded', attempts: [{ outcome: 'succeeded' }] });
  });

  it('exports a job and what belongs to it as of one moment', async () => {
    await running();
    await other.query('BEGIN; LOCK TABLE attempt IN ACCESS EXCLUSIVE MODE');
    const reading = exported();
    await aStatementWaits();
    await other.query(`UPDATE attempt SET outcome = 'succeeded', finished_at = 1;
      UPDATE job SET state = 'succeeded', finished_at = 1, effective = '{}'; COMMIT`);

    const rows = await reading;
    expect(rows.find(({ table }) => table === 'job')?.row).toMatchObject({ state: 'running' });
    expect(rows.find(({ table }) => table === 'attempt')?.row).toMatchObject({ outcome: 'running' });
  });

  it('cancels a job whose cancel comes while it is taken back', async () => {
    const id = await running();
    await other.query(`BEGIN; UPDATE job SET cancel_requested_at = 1 WHERE id = '${id}'`);
    const reclaiming = stores.jobs.reclaim({ kind: 'all' }, LOST, 20, NOON);
    await aStatementWaits();
    await other.query('COMMIT');
    await reclaiming;

    expect(await stores.jobs.get(id)).toMatchObject({ state: 'cancelled', failure: null, finishedAt: NOON });
  });

  it('does not expire for its start a job that began while the statement waited', async () => {
    const job = newJob({ request: { start_by: NOON } });
    await stores.jobs.insert([job], ROOMY, null);
    await other.query(`BEGIN; UPDATE job SET started_at = 1 WHERE id = '${job.id}'`);
    const expiring = stores.jobs.expireDue(NOON);
    await aStatementWaits();
    await other.query('COMMIT');

    expect(await expiring).toEqual([]);
    expect(await stores.jobs.get(job.id)).toMatchObject({ state: 'queued' });
  });

  it('does not try again to claim where all that waits is unfit', async () => {
    const driver = new PostgresDriver({ url: database.url, poolSize: 2, log: LOG });
    const groups: StatementGroup[] = [];
    const counting: SqlRunner = {
      run: (group) => {
        groups.push(group);
        return driver.run(group);
      },
      read: (group) => driver.read(group),
      close: () => driver.close(),
    };
    const { jobs } = storesOver(counting, POSTGRES_DIALECT, true);
    try {
      await jobs.insert([newJob({ request: { width: 640 } })], ROOMY, null);
      groups.length = 0;

      expect(await jobs.claimNext([{ model: 'shapes', bonusMs: 0, maxPixels: 64 * 64 }], CLAIMER, NOON)).toBeNull();
      expect(groups).toHaveLength(2);
    } finally {
      await jobs.close();
    }
  });

  it('goes on to the next job when another took the first, as long as there is one', async () => {
    const jobs = Array.from({ length: 24 }, (_, n) => newJob({ createdAt: NOON + n }));
    await stores.jobs.insert(jobs, ROOMY, null);

    const claims = await Promise.all(jobs.map(() => stores.jobs.claimNext(warm(['shapes'], 0), CLAIMER, NOON)));
    expect(new Set(claims.map((claimed) => claimed?.job.id))).toEqual(new Set(jobs.map(({ id }) => id)));
  });

  it('says that it is away when the server stops answering, and can be closed', async () => {
    const sockets: Socket[] = [];
    const target = new URL(database.url);
    const between = createServer((client) => {
      const server = connect(Number(target.port), target.hostname);
      sockets.push(client, server);
      for (const socket of [client, server]) socket.on('error', () => undefined);
      client.pipe(server);
      server.pipe(client);
    });
    await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve));
    const url = new URL(database.url);
    url.port = String((between.address() as { port: number }).port);
    const driver = new PostgresDriver({ url: url.href, poolSize: 2, log: LOG, statementTimeoutMs: 600 });
    const { jobs } = storesOver(driver, POSTGRES_DIALECT, true);
    try {
      const job = newJob();
      // Both connections are there, so that the calls below meet a silent server and not one that takes no connections.
      await Promise.all([jobs.insert([job], ROOMY, null), jobs.insert([newJob()], ROOMY, null)]);
      for (const socket of sockets) socket.unpipe().pause();

      const calls = await Promise.allSettled([jobs.get(job.id), jobs.insert([newJob()], ROOMY, null)]);
      const unavailable = expect.any(StoreUnavailableError) as unknown;
      expect(calls).toEqual([
        { status: 'rejected', reason: unavailable },
        { status: 'rejected', reason: unavailable },
      ]);
    } finally {
      await driver.close();
      for (const socket of sockets) socket.destroy();
      between.close();
    }
  });

  it('has the server end a transaction whose node has gone silent in its middle', async () => {
    const driver = new PostgresDriver({ url: database.url, poolSize: 2, log: LOG });
    try {
      const limit = { sql: 'SHOW idle_in_transaction_session_timeout', params: [] };
      expect((await driver.run([limit])).rows).toEqual([[{ idle_in_transaction_session_timeout: '10s' }]]);
    } finally {
      await driver.close();
    }
  });
});
