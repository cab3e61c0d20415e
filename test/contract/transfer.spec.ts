import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import { pino } from 'pino';

import { openArtifactStore } from '../../src/artifacts/open-artifact-store.js';
import { runExport } from '../../src/cli/transfer/run-export.js';
import { importJobs } from '../../src/cli/transfer/import-jobs.js';
import { runImport } from '../../src/cli/transfer/run-import.js';
import { runProgram } from '../../src/cli/program.js';
import type { Terminal } from '../../src/cli/terminal.js';
import { loadSettings } from '../../src/config/load-settings.js';
import { failure } from '../../src/domain/failure/failure.js';
import type { Job } from '../../src/domain/job/job.js';
import type { Stores } from '../../src/persistence/open-stores.js';
import { openStores } from '../../src/persistence/open-stores.js';
import { openImportTarget } from '../../src/transfer-ends.js';
import { artifact, attemptRecord, claimer, newJob, NOON, progress } from '../support/jobs.js';
import type { TestDatabase } from '../support/postgres.js';
import { newDatabase, NO_POSTGRES, postgresUrl } from '../support/postgres.js';

const LOG = pino({ level: 'silent' });
const ANY = [{ model: 'shapes', bonusMs: 0, maxPixels: null }];
const CLAIMER = claimer({ nodeName: 'alone', worker: 'alone/cpu:0' });
const OUT_OF_MEMORY = failure('device_out_of_memory', 'no room for 64x64', { phase: 'denoise' });
const PICTURE = Buffer.from('a picture, more or less');
const INPUT = Buffer.from('what it starts from');
const CHECKPOINT = Buffer.from('latents at step 7');
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

const describeOnPostgres = postgresUrl === null ? describe.skip : describe;

describeOnPostgres(`safelight export and import (skipped when ${NO_POSTGRES})`, () => {
  let cwd: string;
  let folder: string;
  let database: TestDatabase;
  let said: string[];

  beforeEach(async () => {
    cwd = await mkdtemp(join(tmpdir(), 'safelight-transfer-'));
    folder = join(cwd, 'exported');
    database = await newDatabase();
    said = [];
  });

  afterEach(async () => {
    await database.drop();
    await rm(cwd, { recursive: true });
  });

  const alone = () => ({ SAFELIGHT_DATA_DIR: join(cwd, 'alone'), SAFELIGHT_NODE_NAME: 'alone' });
  const shared = () => ({
    SAFELIGHT_DATA_DIR: join(cwd, 'node'),
    SAFELIGHT_ARTIFACTS_DIR: join(cwd, 'shared'),
    SAFELIGHT_NODE_NAME: 'one-of-many',
    DATABASE_URL: database.url,
  });

  function terminal(env: Record<string, string>): Terminal {
    const say = (text: string) => void said.push(text);
    return { env, cwd, out: say, err: say, draw: () => undefined, columns: () => null, unicode: false };
  }

  const exportAll = () => runExport(terminal(alone()), 'exported', {});
  const importAll = () => runImport(terminal(shared()), 'exported', {});

  async function withNode<T>(
    env: Record<string, string>,
    use: (stores: Stores, artifacts: Awaited<ReturnType<typeof openArtifactStore>>) => Promise<T>,
  ): Promise<T> {
    const settings = loadSettings({ cwd, env });
    const artifacts = await openArtifactStore({ ...settings, log: LOG });
    const stores = await openStores({ database: settings.database, dataDir: settings.storage.dataDir, log: LOG });
    try {
      return await use(stores, artifacts);
    } finally {
      artifacts.close();
      await stores.close();
    }
  }

  /** Four jobs of a machine on its own: succeeded after a retry, cancelled, running from a checkpoint, queued. */
  function aBusyMachine(): Promise<Record<'succeeded' | 'cancelled' | 'running' | 'queued', string>> {
    return withNode(alone(), async ({ jobs: store, footprints }, artifacts) => {
      const claim = async () => {
        const claimed = await store.claimNext(ANY, CLAIMER, NOON);
        if (claimed === null) throw new Error('nothing to claim');
        return claimed.claim;
      };
      const put = (key: string, bytes: Buffer) => artifacts.put(key, Readable.from([bytes]), bytes.length);
      const init_image = {
        sha256: sha256(INPUT),
        bytes: INPUT.length,
        media_type: 'image/png',
        width: 64,
        height: 64,
      } as const;
      const all = [
        newJob({ client: 'c1', request: { init_image } }),
        newJob({ client: 'c1' }),
        newJob({ client: 'c1' }),
        newJob({ client: 'c1' }),
      ];
      const [succeeded = '', running = '', queued = '', cancelled = ''] = all.map(({ id }) => id);
      const idempotency = { client: 'c1', key: 'key', requestHash: 'ab'.repeat(32) };
      await store.insert(all, { maxWaiting: 10 }, idempotency);
      await put(`${succeeded}/inputs/${sha256(INPUT)}.png`, INPUT);
      await store.requestCancel(cancelled, NOON);

      const next = { runAt: null, failure: OUT_OF_MEMORY, degradations: [], solo: false, avoids: ['alone/gpu'] };
      const failed = attemptRecord({ outcome: 'failed', failure: OUT_OF_MEMORY });
      await store.retryIfClaimed(await claim(), failed, { ...next, keepCheckpoint: false }, NOON + 1);
      const last = await claim();
      const key = `${succeeded}/${last.token}/0.png`;
      await put(key, PICTURE);
      const made = { ...artifact(), key, bytes: PICTURE.length, sha256: sha256(PICTURE) };
      await store.completeIfClaimed(last, attemptRecord(), { artifacts: [made], effective: { seed: 7 } }, NOON + 9);

      const held = await claim();
      const left = { key: `${running}/checkpoints/${held.token}-7.safetensors`, step: 7, attempt: 1 };
      await put(left.key, CHECKPOINT);
      await store.recordProgressIfClaimed(held, progress(), [{ type: 'progress', progress: progress() }], NOON + 10);
      await store.recordCheckpointIfClaimed(held, { ...left, bytes: CHECKPOINT.length });
      const footprint = { model: 'shapes', deviceKind: 'cpu', bytes: 1, overruns: [] };
      await footprints.save(footprint as unknown as Parameters<typeof footprints.save>[0], NOON);
      return { succeeded, cancelled, running, queued };
    });
  }

  const seen = (env: Record<string, string>) =>
    withNode(env, async ({ jobs: store, footprints }) => {
      const jobs = await store.list({ limit: 100 });
      const events = await Promise.all(jobs.map(({ id }) => store.eventsAfter(id, 0)));
      return { jobs, events, footprints: await footprints.all() };
    });

  const find = (jobs: readonly Job[], id: string) => jobs.find((job) => job.id === id);

  it('move the jobs of a machine to PostgreSQL, where they read as before, and run on', async () => {
    const ids = await aBusyMachine();
    const before = await seen(alone());
    expect(await exportAll()).toBe(0);
    expect(said.at(-1)).toMatch(/^4 jobs and 3 files \(.+\) are in /);
    expect(await importAll()).toBe(0);
    expect(said.at(-1)).toMatch(/^4 jobs and 3 files \(.+\) were imported\.$/);

    const after = await seen(shared());
    expect(after.events).toEqual(before.events);
    expect(after.footprints).toEqual(before.footprints);
    const others = ({ id }: Job) => id !== ids.running;
    expect(after.jobs.filter(others)).toEqual(before.jobs.filter(others));
    const { checkpoint } = find(before.jobs, ids.running) ?? {};
    expect(find(after.jobs, ids.running)).toMatchObject({
      state: 'queued',
      node: null,
      checkpoint,
      attempts: [{ outcome: 'returned', step: 7 }],
    });

    await withNode(shared(), async ({ jobs: store }, artifacts) => {
      const { key = '' } = find(after.jobs, ids.succeeded)?.artifacts[0] ?? {};
      expect(await buffer(await artifacts.read(key))).toEqual(PICTURE);
      const attempt = { jobId: ids.running, token: 99 };
      expect(await readFile((await artifacts.checkpointPath(attempt, checkpoint?.key ?? '')) ?? '')).toEqual(
        CHECKPOINT,
      );
      const { init_image } = find(after.jobs, ids.succeeded)?.request ?? {};
      if (init_image === undefined) throw new Error('the picture it starts from is not named any more');
      expect(await readFile(await artifacts.inputPath({ jobId: ids.succeeded, token: 99 }, init_image))).toEqual(INPUT);
      const idempotency = { client: 'c1', key: 'key', requestHash: 'ab'.repeat(32) };
      expect(await store.findSubmission(idempotency)).toMatchObject({ outcome: 'existing' });
      const claimed = await store.claimNext(ANY, CLAIMER, NOON + 20);
      expect(claimed).toMatchObject({ claim: { jobId: ids.running, attempt: 2 } });
    });
  });

  it('leave alone what is there already, so that an import may be repeated', async () => {
    const ids = await aBusyMachine();
    await exportAll();
    await importAll();
    await withNode(shared(), ({ jobs: store }) => store.requestCancel(ids.queued, NOON + 30));
    const before = await seen(shared());
    expect(await importAll()).toBe(0);
    expect(said.at(-1)).toBe(
      '0 jobs and 0 files (0 B) were imported. 4 jobs were there already and are left as they are.',
    );
    expect(await seen(shared())).toEqual(before);
  });

  it('go on where an interruption left off', async () => {
    await aBusyMachine();
    await exportAll();
    const interruption = new AbortController();
    const hooks = { signal: interruption.signal, onProgress: () => interruption.abort(new Error('Ctrl-C')) };
    const settings = loadSettings({ cwd, env: shared() });
    {
      await using target = await openImportTarget(settings);
      await expect(importJobs(folder, target, hooks)).rejects.toThrow('Ctrl-C');
    }
    expect(await importAll()).toBe(0);
    expect((await seen(shared())).jobs).toHaveLength(4);
  });

  it('stop at a damaged file before its job is written, and go on from there once it is mended', async () => {
    const ids = await aBusyMachine();
    await exportAll();
    const key = `${ids.running}/checkpoints`;
    const lines = (await readFile(join(folder, 'jobs.ndjson'), 'utf8')).split('\n');
    const found = new RegExp(String.raw`${key}/[^"\\]+`).exec(lines.join('\n'))?.[0] ?? '';
    const path = join(folder, 'artifacts', found);
    await writeFile(path, 'LATENTS AT STEP 7');
    await expect(importAll()).rejects.toMatchObject({
      kind: 'cannot_read',
      message: `${path} is damaged: its SHA-256 is another.`,
    });
    const { jobs } = await seen(shared());
    expect(find(jobs, ids.running)).toBeUndefined();
    await writeFile(path, CHECKPOINT);
    expect(await importAll()).toBe(0);
    expect((await seen(shared())).jobs).toHaveLength(4);
  });

  it('name a picture that was lost before, and move everything else', async () => {
    const ids = await aBusyMachine();
    const picture = (await seen(alone())).jobs.find(({ id }) => id === ids.succeeded)?.artifacts[0]?.key ?? '';
    await rm(join(cwd, 'alone', 'artifacts', picture));
    expect(await exportAll()).toBe(0);
    expect(said.at(-2)).toBe(`Warning: pictures that were missing or damaged before are left out (1): ${picture}`);
    expect(await importAll()).toBe(0);
    expect((await seen(shared())).jobs).toHaveLength(4);
  });

  it('wait for the server of the data folder to be stopped', async () => {
    await aBusyMachine();
    await withNode(alone(), async () => {
      await expect(exportAll()).rejects.toMatchObject({
        kind: 'refused',
        message: `A server uses the data folder ${join(cwd, 'alone')}.`,
        nextStep: 'stop that server (Ctrl-C, or SIGTERM), then run this command again.',
      });
    });
    expect(await runProgram(['export', 'exported'], terminal(alone()))).toBe(0);
  });

  it('find nothing to export where no server ever ran', async () => {
    expect(await runProgram(['export', 'exported'], terminal(alone()))).toBe(1);
    expect(said.at(-1)).toContain('Next: give the data folder of the server with --data-dir (data_dir).');
    expect(await runProgram(['import', 'exported', '--data-dir', 'alone'], terminal({}))).toBe(2);
    expect(said.at(-1)).toContain('Next: give the folder that `safelight export` wrote.');
  });

  it('write nothing from a folder of a newer version, from a part of one, or from what is none', async () => {
    await aBusyMachine();
    await exportAll();
    const path = join(folder, 'jobs.ndjson');
    const whole = await readFile(path, 'utf8');
    await writeFile(path, whole.replace('"safelight_export":1', '"safelight_export":2'));
    await expect(importAll()).rejects.toThrow('was written by a newer Safelight: format 2');
    await expect(runImport(terminal(shared()), 'nowhere', {})).rejects.toThrow('There is no folder');
    expect((await seen(shared())).jobs).toEqual([]);

    await writeFile(path, whole.replace('"table":"job","row":{', '"table":"node","row":{'));
    await expect(importAll()).rejects.toThrow('there is no table node');
    await writeFile(path, whole.split('\n').slice(0, -3).join('\n'));
    await expect(importAll()).rejects.toThrow(/\d+ rows were expected, there are \d+/);
  });

  it('say what is wrong with a database that does not answer', async () => {
    await aBusyMachine();
    await exportAll();
    const env = { ...shared(), DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' };
    await expect(runImport(terminal(env), 'exported', {})).rejects.toMatchObject({
      kind: 'cannot_write',
      nextStep: 'correct DATABASE_URL, or see that the database answers.',
    });
  });
});
