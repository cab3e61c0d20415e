import { pino } from 'pino';

import { DatabaseConfig } from '../../src/config/database.config.js';
import { StoreUnavailableError } from '../../src/jobs/ports/job-store.port.js';
import type { Stores } from '../../src/persistence/open-stores.js';
import { openStores } from '../../src/persistence/open-stores.js';
import { DatabaseUnusableError } from '../../src/persistence/postgres/open-postgres.js';
import { PostgresDriver } from '../../src/persistence/postgres/postgres-driver.js';
import { POSTGRES_DIALECT } from '../../src/persistence/postgres/postgres-dialect.js';
import { claimNext } from '../../src/persistence/sql/statements/claim-statements.js';
import { firstQueued } from '../../src/persistence/sql/statements/read-statements.js';
import { newJob, NOON } from '../support/jobs.js';
import type { TestDatabase } from '../support/postgres.js';
import { newDatabase, NO_POSTGRES, postgresUrl } from '../support/postgres.js';
import { eventually } from '../support/signals.js';
import { CLAIMER, LOST, ROOMY, warm } from './job-store/harness.js';
import { describeJobStore } from './job-store.suite.js';

const LOG = pino({ level: 'silent' });

const TABLES = 'job, attempt, job_event, submission, node, footprint, webhook_delivery, client_usage, shared_secret';

const describeOnPostgres = postgresUrl === null ? describe.skip : describe;

describeOnPostgres(`PostgreSQL${postgresUrl === null ? ` (skipped: ${NO_POSTGRES})` : ''}`, () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await newDatabase();
  });
  afterAll(() => database.drop());

  async function open(): Promise<Stores> {
    return openStores({ database: new DatabaseConfig({ url: database.url }), dataDir: '', log: LOG });
  }

  /** Emptied rather than made anew: a database takes a tenth of a second, and there are two hundred tests. */
  async function openEmpty(): Promise<Stores> {
    const stores = await open();
    await database.query(`TRUNCATE ${TABLES}; UPDATE job_count_shard SET n = 0`);
    return stores;
  }

  describeJobStore('it', openEmpty);

  describe('beyond the suite', () => {
    let stores: Stores;

    beforeEach(async () => {
      stores = await openEmpty();
    });
    afterEach(() => stores.close());

    it('is shared by stores that are opened at the same time on an empty database', async () => {
      const empty = await newDatabase();
      try {
        const config = new DatabaseConfig({ url: empty.url });
        const opened = await Promise.all(
          Array.from({ length: 4 }, () => openStores({ database: config, dataDir: '', log: LOG })),
        );
        const job = newJob();
        await opened[0]!.jobs.insert([job], ROOMY, null);
        expect(await opened[3]!.jobs.get(job.id)).toMatchObject({ id: job.id });
        for (const one of opened) await one.close();
      } finally {
        await empty.drop();
      }
    });

    it('goes on after all its connections broke', async () => {
      const job = newJob();
      await stores.jobs.insert([job], ROOMY, null);
      await database.disconnectAll();

      // A call that meets a broken connection says that the store is away; the next has a new one.
      const found = await eventually('the store answers', () =>
        stores.jobs.get(job.id).catch((error: unknown) => {
          expect(error).toBeInstanceOf(StoreUnavailableError);
          return null;
        }),
      );
      expect(found.id).toBe(job.id);
    });

    it('writes all of a group or nothing when the connection breaks in its middle', async () => {
      const jobs = Array.from({ length: 300 }, () => newJob());
      const inserting = stores.jobs.insert(jobs, ROOMY, null).catch((error: unknown) => error);
      await database.disconnectAll();
      const result = await inserting;
      const stored = (await stores.jobs.countByState().catch(() => stores.jobs.countByState())).queued;

      expect([0, 300]).toContain(stored);
      if (stored === 0) expect(result).toBeInstanceOf(StoreUnavailableError);
    });

    it('says that it is away, in time, when no server answers', async () => {
      const url = 'postgres://somebody:secret@127.0.0.1:1/nothing';
      const opening = openStores({ database: new DatabaseConfig({ url }), dataDir: '', log: LOG });

      const error: unknown = await opening.catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(DatabaseUnusableError);
      expect((error as Error).message).toContain('the database nothing at 127.0.0.1:1 cannot be used');
      expect((error as Error).message).not.toContain('secret');
    });

    it('refuses a database with a newer schema', async () => {
      const newer = await newDatabase();
      try {
        const config = new DatabaseConfig({ url: newer.url });
        await (await openStores({ database: config, dataDir: '', log: LOG })).close();
        await newer.query(`INSERT INTO schema_version (version, name) VALUES (99, 'from the future')`);
        await expect(openStores({ database: config, dataDir: '', log: LOG })).rejects.toThrow(/schema 99/);
      } finally {
        await newer.drop();
      }
    });

    it('finds the next job among many that wait by its indexes, though it has no statistics', async () => {
      await database.query(`INSERT INTO job (id, state, priority, model, request, sort_at, created_at, client)
        SELECT 'j' || n, 'queued', 2, 'shapes', '{}', n, n, 'client ' || n % 5 FROM generate_series(1, 20000) AS n`);
      const claim = claimNext(warm(['shapes', 'flux'], 0), CLAIMER, NOON, POSTGRES_DIALECT)[0]!;
      const driver = new PostgresDriver({ url: database.url, poolSize: 2, log: LOG });
      try {
        const [plan] = (await driver.run([{ sql: `EXPLAIN (FORMAT TEXT) ${claim.sql}`, params: claim.params }])).rows;
        const lines = plan?.map((row) => String(row['QUERY PLAN'])).join('\n') ?? '';
        expect(lines).not.toMatch(/Seq Scan on job/);
        expect(lines).toMatch(/job_by_turn/);
      } finally {
        await driver.close();
      }
    });

    it('finds the first of a class among many by its index, though it has no statistics', async () => {
      await database.query(`INSERT INTO job (id, state, priority, model, request, sort_at, created_at, client)
        SELECT 'j' || n, 'queued', 2, 'model ' || n % 3, '{}', n, n, 'client ' || n % 5 FROM generate_series(1, 20000) AS n`);
      const { sql, params } = firstQueued('normal', ['model 0', 'model 1']);
      const driver = new PostgresDriver({ url: database.url, poolSize: 2, log: LOG });
      try {
        const [plan] = (await driver.run([{ sql: `EXPLAIN (FORMAT TEXT) ${sql}`, params }])).rows;
        const lines = plan?.map((row) => String(row['QUERY PLAN'])).join('\n') ?? '';
        expect(lines).not.toMatch(/Seq Scan on job/);
        expect(lines).toMatch(/Index Only Scan using job_by_class/);
        expect(await stores.jobs.firstQueued('normal', ['model 0', 'model 1'])).toEqual({ id: 'j1', model: 'model 1' });
      } finally {
        await driver.close();
      }
    });

    it('counts jobs by state as they are, whoever moved them', async () => {
      const jobs = Array.from({ length: 40 }, () => newJob());
      await Promise.all(jobs.map((job) => stores.jobs.insert([job], ROOMY, null)));
      await Promise.all(jobs.map(() => stores.jobs.claimNext(warm(['shapes'], 0), CLAIMER, NOON)));
      await stores.jobs.reclaim({ kind: 'all' }, LOST, 20, NOON);
      await Promise.all(jobs.slice(0, 10).map(({ id }) => stores.jobs.requestCancel(id, NOON)));

      const counted = await database.query('SELECT state, count(*)::int AS n FROM job GROUP BY state');
      const counts = await stores.jobs.countByState();
      for (const { state, n } of counted) expect(counts[state as 'queued']).toBe(n);
      expect(counts).toMatchObject({ queued: 30, cancelled: 10, running: 0 });
    });
  });
});
