import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { pino } from 'pino';
import { DatabaseConfig } from '../../src/config/database.config.js';
import { failure } from '../../src/domain/failure/failure.js';
import { JOB_STATES } from '../../src/domain/job/job-state.js';
import { ATTEMPT_OUTCOMES } from '../../src/domain/job/job.js';
import { PHASES } from '../../src/domain/job/phase.js';
import { StoreUnavailableError } from '../../src/jobs/ports/job-store.port.js';
import { migrate } from '../../src/persistence/migrations/migrate.js';
import { openStores } from '../../src/persistence/open-stores.js';
import { DatabaseInUseError } from '../../src/persistence/sqlite/database-in-use.error.js';
import type { Statement } from '../../src/persistence/sql/sql-runner.js';
import { claimNext } from '../../src/persistence/sql/statements/claim-statements.js';
import { expireDue, promoteDue } from '../../src/persistence/sql/statements/due-statements.js';
import { purge, reclaim } from '../../src/persistence/sql/statements/housekeeping-statements.js';
import { firstQueued, page, queuePosition } from '../../src/persistence/sql/statements/read-statements.js';
import { SQLITE_MIGRATIONS } from '../../src/persistence/sqlite/sqlite-migrations.js';
import { SQLITE_DIALECT } from '../../src/persistence/sqlite/sqlite-dialect.js';
import { SqliteDriver } from '../../src/persistence/sqlite/sqlite-driver.js';
import { SqliteJobStore } from '../../src/persistence/sqlite/sqlite-job-store.js';
import { newJob, NOON } from '../support/jobs.js';
import { CLAIMER, warm } from './job-store/harness.js';
import { describeJobStore } from './job-store.suite.js';

const ROOMY = { maxWaiting: 1_000_000 };
const ANY_MODEL = warm(['shapes'], 0);

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'safelight-sqlite-'));
  path = join(folder, 'jobs.db');
});
afterEach(() => rm(folder, { recursive: true }));

describeJobStore('SQLite', () =>
  openStores({ database: new DatabaseConfig(), dataDir: folder, log: pino({ level: 'silent' }) }),
);

describe('SqliteJobStore', () => {
  it('keeps what it was given when it is opened again', async () => {
    const first = await SqliteJobStore.open({ path });
    const job = newJob();
    await first.insert([job], ROOMY, null);
    await first.close();

    const second = await SqliteJobStore.open({ path });
    expect(await second.get(job.id)).toMatchObject({ id: job.id, request: job.request });
    await second.close();
  });

  it('reads what was asked to be written before, without waiting for the answer', async () => {
    const store = await SqliteJobStore.open({ path });
    const job = newJob();
    const [, read] = await Promise.all([store.insert([job], ROOMY, null), store.get(job.id)]);

    expect(read).toMatchObject({ id: job.id });
    await store.close();
  });

  it('has lost no acknowledged job when its process is killed', async () => {
    let acknowledged = 0;
    for (let round = 0; round < 3; round++) {
      const ids = await insertUntilKilled(path, 150);
      expect(ids.length).toBeGreaterThanOrEqual(150);
      acknowledged += ids.length;

      const store = await SqliteJobStore.open({ path });
      const found = await Promise.all(ids.map((id) => store.get(id)));
      expect(found.filter((job) => job === null)).toEqual([]);
      // The kill may fall between a commit and its acknowledgement, so there may be more.
      expect((await store.countByState()).queued).toBeGreaterThanOrEqual(acknowledged);
      acknowledged = (await store.countByState()).queued;
      await store.close();
    }
  });

  it('brings a file of the schema before up to date, and goes on with its jobs', async () => {
    const driver = await SqliteDriver.open(path);
    await migrate(driver, SQLITE_MIGRATIONS.slice(0, 2));
    const job = newJob({ request: { width: 96, height: 64 } });
    await driver.run([
      {
        sql: `INSERT INTO job (id, state, priority, model, request, sort_at, created_at)
          VALUES ($1, 'queued', 2, 'shapes', $2, 1, 1)`,
        params: [job.id, JSON.stringify(job.request)],
      },
    ]);
    await driver.close();

    const store = await SqliteJobStore.open({ path });
    const room = (maxPixels: number) => [{ model: 'shapes', bonusMs: 0, maxPixels }];
    expect(await store.claimNext(room(96 * 64 - 1), CLAIMER, NOON)).toBeNull();
    expect((await store.claimNext(room(96 * 64), CLAIMER, NOON))?.job).toMatchObject({ id: job.id, client: '' });
    await store.close();
  });

  it('refuses a second owner and names the file and the way out', async () => {
    const owner = await SqliteJobStore.open({ path });

    const error: unknown = await SqliteJobStore.open({ path }).catch((reason: unknown) => reason);

    expect(error).toBeInstanceOf(DatabaseInUseError);
    expect((error as Error).message).toContain(path);
    expect((error as Error).message).toContain('another "safelight serve" uses this data folder');
    expect(await owner.insert([newJob()], ROOMY, null)).toMatchObject({ outcome: 'inserted' });
    await owner.close();
    await (await SqliteJobStore.open({ path })).close();
  });

  it('refuses a database with a newer schema and leaves it as it is', async () => {
    await (await SqliteJobStore.open({ path })).close();
    const database = new DatabaseSync(path);
    database.exec(`INSERT INTO schema_version (version, name) VALUES (99, 'from the future')`);
    database.close();

    const open = () => SqliteJobStore.open({ path });

    await expect(open()).rejects.toThrow(/schema 99, made by a newer Safelight/);
    await expect(open()).rejects.toThrow(/schema 99/);
  });

  it('refuses a file that is no database', async () => {
    await writeFile(path, 'not a database, but long enough to have a header of the right size '.repeat(20));

    await expect(SqliteJobStore.open({ path })).rejects.toThrow(/file is not a database/);
  });

  it('refuses a folder that does not exist', async () => {
    await expect(SqliteJobStore.open({ path: join(folder, 'nowhere', 'jobs.db') })).rejects.toThrow(
      StoreUnavailableError,
    );
  });

  it('spares the neighbours of a call that fails in the same commit', async () => {
    const store = await SqliteJobStore.open({ path });
    const taken = newJob();
    await store.insert([taken], ROOMY, null);
    const good = Array.from({ length: 20 }, () => newJob());

    const [bad, ...neighbours] = await Promise.allSettled([
      store.insert([newJob(), taken], ROOMY, null),
      ...good.map((job) => store.insert([job], ROOMY, null)),
    ]);

    expect(bad.status).toBe('rejected');
    expect(neighbours.every(({ status }) => status === 'fulfilled')).toBe(true);
    expect((await store.countByState()).queued).toBe(21);
    await store.close();
  });

  it('spares the neighbours of a call that makes the commit itself fail', async () => {
    const driver = await SqliteDriver.open(path);
    const store = await SqliteJobStore.over(driver);
    const job = newJob();

    const [bad, good] = await Promise.allSettled([
      // The dangling reference is found only when the transaction ends.
      driver.run([
        { sql: 'PRAGMA defer_foreign_keys = ON', params: [] },
        { sql: `INSERT INTO job_event (job_id, seq, at, body) VALUES ('nobody', 1, 0, '{}')`, params: [] },
      ]),
      store.insert([job], ROOMY, null),
    ]);

    expect(bad).toMatchObject({ status: 'rejected' });
    expect(good).toMatchObject({ status: 'fulfilled', value: { outcome: 'inserted' } });
    expect(await store.get(job.id)).not.toBeNull();
    expect(await store.eventsAfter('nobody', 0)).toEqual([]);
    await store.close();
  });

  it.each<[string, Statement, RegExp]>([
    [
      'who waits',
      claimNext(ANY_MODEL, CLAIMER, NOON, SQLITE_DIALECT)[0]!,
      /job USING COVERING INDEX job_by_turn \(model=\? AND priority=\? AND client>\?\)/,
    ],
    [
      'the next job',
      claimNext(ANY_MODEL, CLAIMER, NOON, SQLITE_DIALECT)[0]!,
      /^(?!.*SCAN job\b)[^]*job_by_turn \(model=\? AND priority=\? AND client=\?\)/,
    ],
    [
      'the first of a class',
      firstQueued('urgent', ['shapes', 'flux']),
      /^(?!.*SCAN job\b)[^]*job_by_class \(priority=\? AND model=\?\)/,
    ],
    ['a place in the queue', queuePosition('id'), /ahead USING COVERING INDEX job_by_position \(sort_at<\?\)/],
    ['what is due', promoteDue(NOON, SQLITE_DIALECT)[0]!, /job USING INDEX job_by_run_at \(run_at<\?\)/],
    ['what begins too late', expireDue(NOON)[0]!, /job USING INDEX job_by_start_by/],
    ['what ends too late', expireDue(NOON)[0]!, /job USING INDEX job_by_finish_by/],
    [
      'what runs',
      reclaim({ kind: 'all' }, failure('worker_lost', ''), 5, NOON, SQLITE_DIALECT)[0]!,
      /job USING (COVERING )?INDEX job_running/,
    ],
    ['what is old', purge(NOON, 10), /job USING INDEX job_by_finished_at/],
    ['a page of what waits', page({ states: ['queued'], limit: 9 })[0]!, /job USING COVERING INDEX job_queued/],
    ['a page of what failed', page({ states: ['failed'], limit: 9 })[0]!, /job USING INDEX job_final \(state=\?/],
  ])('finds %s by its index, though it has no statistics', async (_, { sql, params }, index) => {
    const driver = await SqliteDriver.open(path);
    const store = await SqliteJobStore.over(driver);

    const [plan] = (await driver.run([{ sql: `EXPLAIN QUERY PLAN ${sql}`, params }])).rows;

    expect(plan?.map(({ detail }) => detail).join('\n')).toMatch(index);
    await store.close();
  });

  it('refuses calls beyond what may wait for the disk, and takes more once it has caught up', async () => {
    const store = await SqliteJobStore.open({ path });

    const answers = await Promise.allSettled(Array.from({ length: 10_001 }, () => store.nextDueAt()));

    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(10_000);
    expect(answers[10_000]).toMatchObject({ status: 'rejected', reason: expect.any(StoreUnavailableError) as unknown });
    expect(await store.insert([newJob()], ROOMY, null)).toMatchObject({ outcome: 'inserted' });
    await store.close();
  });

  it('rejects loudly while the disk is full, and goes on when there is room again', async () => {
    const driver = await SqliteDriver.open(path);
    const store = await SqliteJobStore.over(driver);
    const limitPages = (pages: number) => driver.run([{ sql: `PRAGMA max_page_count = ${pages}`, params: [] }]);
    const kept = newJob();
    await store.insert([kept], ROOMY, null);
    // SQLite sets the limit no lower than the pages in use.
    await limitPages(1);
    const large = newJob({ request: { prompt: 'x'.repeat(1_000_000) } });

    const [refused, claimed] = await Promise.allSettled([
      store.insert([large], ROOMY, null),
      store.claimNext(ANY_MODEL, CLAIMER, NOON),
    ]);

    expect(refused).toMatchObject({ status: 'rejected', reason: expect.any(StoreUnavailableError) as unknown });
    expect(claimed).toMatchObject({ status: 'fulfilled', value: { job: { id: kept.id } } });
    expect(await store.get(large.id)).toBeNull();

    await limitPages(1_000_000);
    expect(await store.insert([large], ROOMY, null)).toMatchObject({ outcome: 'inserted' });
    await store.close();
  });

  it('knows in its checks every word of the domain', async () => {
    await (await SqliteJobStore.open({ path })).close();
    const database = new DatabaseSync(path);
    const schema = (table: string) =>
      String(database.prepare('SELECT sql FROM sqlite_schema WHERE name = ?').get(table)?.['sql']);

    for (const state of JOB_STATES) expect(schema('job')).toContain(`'${state}'`);
    for (const word of [...ATTEMPT_OUTCOMES, ...PHASES]) expect(schema('attempt')).toContain(`'${word}'`);
    database.close();
  });
});

/**
 * Starts a process that inserts eight jobs at a time and prints the id of each once it is told that it is stored; kills it
 * after `enough` of them. Returns the ids that were printed.
 */
async function insertUntilKilled(database: string, enough: number): Promise<string[]> {
  const script = join(folder, 'insert.mjs');
  const source = (file: string) => JSON.stringify(new URL(`../../${file}`, import.meta.url).href);
  // Node strips the types itself; only the names of the files have to be put right.
  await writeFile(
    script,
    `import { registerHooks } from 'node:module';
    registerHooks({
      resolve: (specifier, context, next) =>
        next(context.parentURL?.endsWith('.ts') ? specifier.replace(/^(\\..*)\\.js$/, '$1.ts') : specifier, context),
    });
    const { SqliteJobStore } = await import(${source('src/persistence/sqlite/sqlite-job-store.ts')});
    const { newJob } = await import(${source('test/support/jobs.ts')});
    const store = await SqliteJobStore.open({ path: process.argv[2] });
    const insert = async () => {
      for (;;) {
        const job = newJob();
        await store.insert([job], { maxWaiting: 1e6 }, null);
        process.stdout.write(job.id + '\\n');
      }
    };
    for (let i = 0; i < 8; i++) void insert();`,
  );
  const child = spawn(process.execPath, [script, database], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ids: string[] = [];
  for await (const id of createInterface({ input: child.stdout })) {
    if (ids.push(id) === enough) child.kill('SIGKILL');
  }
  return ids;
}
