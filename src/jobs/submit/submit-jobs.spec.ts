import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { modelDescription, workerDescription } from '../../../test/support/api.js';
import { attemptRecord, claimer } from '../../../test/support/jobs.js';
import { PICTURES } from '../../../test/support/pictures.js';
import { FilesystemArtifactStore } from '../../artifacts/filesystem-artifact-store.js';
import { InputsConfig } from '../../config/inputs.config.js';
import { QueueConfig } from '../../config/queue.config.js';
import { StorageConfig } from '../../config/storage.config.js';
import { WebhooksConfig } from '../../config/webhooks.config.js';
import type { WorkerDescription } from '../../domain/placement/worker-description.js';
import { InProcessJobEvents } from '../../events/in-process-job-events.js';
import { HttpPictureSource } from '../../inputs/http-picture-source.js';
import { SqliteJobStore } from '../../persistence/sqlite/sqlite-job-store.js';
import { ArtifactStoreUnavailableError } from '../ports/artifact-store.port.js';
import { StoreUnavailableError } from '../ports/job-store.port.js';
import { QueryWorkers } from '../query/query-workers.js';
import { Picture, PictureUrl } from './picture.js';
import { SubmitJobs } from './submit-jobs.js';

const PNG = Buffer.from(PICTURES['a PNG'], 'base64');
const WEBP = Buffer.from(PICTURES['a lossy WebP'], 'base64');

describe('SubmitJobs', () => {
  let folder: string;
  let store: SqliteJobStore;
  let artifactsDir: string;
  let artifacts: FilesystemArtifactStore;
  let submitJobs: SubmitJobs;
  let workers: WorkerDescription[];
  const clock = { at: Date.UTC(2026, 0, 1), now: () => clock.at };
  const shapes = modelDescription({ capabilities: ['text_to_image', 'image_to_image', 'inpaint'] });
  const models = {
    list: () => [shapes],
    find: (id: string) => (id === shapes.id ? shapes : null),
    default: () => shapes,
  };
  const submitJobsOver = (jobs: SqliteJobStore, events = new InProcessJobEvents(), inputs = new InputsConfig()) =>
    new SubmitJobs(
      jobs,
      events,
      models,
      clock,
      new QueueConfig({ maxWaiting: 3 }),
      artifacts,
      new WebhooksConfig(),
      // The embedded store has no other nodes to ask.
      new QueryWorkers(jobs, { list: () => workers }, undefined as never, { id: 'a', name: 'here' }, clock),
      new HttpPictureSource(inputs),
    );
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-submit-'));
    store = await SqliteJobStore.open({ path: join(folder, 'jobs.sqlite') });
    artifactsDir = join(folder, 'artifacts');
    artifacts = new FilesystemArtifactStore(new StorageConfig({ dataDir: folder, artifactsDir }));
    workers = [workerDescription()];
    submitJobs = submitJobsOver(store);
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The store, whose answer to an insert is lost; `isGone`: it answers nothing after it. */
  function breaking({ written, isGone }: { written: boolean; isGone: boolean }): SqliteJobStore {
    const died = () => Promise.reject(new StoreUnavailableError('its thread died'));
    const insert = async (...args: Parameters<typeof store.insert>) => {
      if (written) await store.insert(...args);
      return died();
    };
    return Object.create(store, {
      insert: { value: insert },
      ...(isGone && { get: { value: died } }),
    }) as SqliteJobStore;
  }

  it('gives the job of a key again, also when the request could not be accepted any more', async () => {
    const input = { prompt: 'a red circle', start_by: clock.at + 100 };
    const first = await submitJobs.submit([input], 'key');
    clock.at += 200;
    const second = await submitJobs.submit([input], 'key');
    expect([first.outcome, second.outcome]).toEqual(['accepted', 'existing']);
    if (first.outcome === 'accepted' && second.outcome === 'existing')
      expect(second.jobs[0]?.id).toBe(first.jobs[0]?.id);
    expect((await submitJobs.submit([input], 'another key')).outcome).toBe('invalid');
  });

  const circles = (count: number) => Array.from({ length: count }, () => ({ prompt: 'a red circle' }));

  it('refuses what does not fit into the queue now, whole, and says when all of it is likely to', async () => {
    await submitJobs.submit(circles(3), null, { batch: true });
    const claimed = await store.claimNext([{ model: 'shapes', bonusMs: 0, maxPixels: null }], claimer(), clock.at);
    await store.completeIfClaimed(claimed!.claim, attemptRecord(), { artifacts: [], effective: {} }, clock.at);
    // One was done in the last minute, two places have to come free.
    const result = await submitJobs.submit(circles(3), null, { batch: true });
    expect(result).toMatchObject({ outcome: 'queue_full', waiting: 2, limit: 3, retryAfterSeconds: 60 });
    expect((await store.countByState()).queued).toBe(2);
  });

  it('takes nothing more once it is closed, but still knows what it took', async () => {
    const input = { prompt: 'a red circle' };
    await submitJobs.submit([input], 'key');
    submitJobs.close();
    expect((await submitJobs.submit([input], 'key')).outcome).toBe('existing');
    expect(await submitJobs.submit([input], null)).toEqual({ outcome: 'not_serving', retryAfterSeconds: 5 });
  });

  describe('on a store that breaks before it has said what became of the rows', () => {
    const both = [{ prompt: 'a red circle' }, { prompt: 'a blue star' }];

    it('tells what was accepted, to the caller and to whoever waits for jobs', async () => {
      const events = new InProcessJobEvents();
      const heard: string[] = [];
      events.onAny(({ jobId }) => heard.push(jobId));
      const result = await submitJobsOver(breaking({ written: true, isGone: false }), events).submit(both, 'key');
      if (result.outcome !== 'accepted') throw new Error(JSON.stringify(result));
      const ids = result.jobs.map(({ id }) => id);
      expect(result.jobs.map(({ request }) => request.prompt)).toEqual(['a red circle', 'a blue star']);
      expect(heard).toEqual(ids);
      expect(await submitJobs.submit(both, 'key')).toMatchObject({ outcome: 'existing', jobs: [{ id: ids[0] }, {}] });
    });

    it('says that nothing was accepted when nothing was', async () => {
      const broken = submitJobsOver(breaking({ written: false, isGone: false }));
      await expect(broken.submit(both, 'key')).rejects.toThrow(StoreUnavailableError);
    });

    it('does not say so when it cannot know', async () => {
      const result = await submitJobsOver(breaking({ written: true, isGone: true })).submit(both, 'key');
      expect(result).toEqual({ outcome: 'unknown', retryAfterSeconds: 5 });
    });
  });

  it('lets go of a picture that nobody waits for any more, and accepts nothing', async () => {
    const origin = createServer();
    await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
    const { port } = origin.address() as AddressInfo;
    const settings = { urlsEnabled: true, allowPrivateAddresses: true, allowedPorts: [port] };
    const fetching = submitJobsOver(store, new InProcessJobEvents(), new InputsConfig(settings));
    const gone = new AbortController();
    const letGo = new Promise<void>((resolve) => {
      origin.on('request', (_request, response) => {
        response.on('close', resolve);
        gone.abort();
      });
    });
    const input = { prompt: 'x', init_image: new PictureUrl(`http://127.0.0.1:${port}/a.png`) };
    const result = await fetching.submit([input], 'key', { gone: gone.signal });
    expect(result).toMatchObject({ outcome: 'invalid', problems: [{ field: 'init_image' }] });
    await letGo;
    expect((await store.countByState()).queued).toBe(0);
    await new Promise((resolve) => origin.close(resolve));
  });

  describe('with pictures', () => {
    const again = () => ({
      prompt: 'a red circle',
      init_image: new Picture(Buffer.from(PNG)),
      mask_image: new Picture(Buffer.from(WEBP)),
    });
    /** Folders of jobs in the artifact store. */
    const folders = () =>
      existsSync(artifactsDir) ? readdirSync(artifactsDir).filter((name) => !name.startsWith('.')) : [];

    it('keeps their bytes under their hashes and no more than that in the request', async () => {
      const result = await submitJobs.submit([again()], null);
      if (result.outcome !== 'accepted') throw new Error(JSON.stringify(result));
      const { id, request } = result.jobs[0]!;
      expect(request).toMatchObject({
        init_image: { bytes: PNG.length, media_type: 'image/png', width: 23, height: 17 },
        mask_image: { bytes: WEBP.length, media_type: 'image/webp', width: 23, height: 17 },
        strength: 0.8,
      });
      const stored = await store.get(id);
      expect(stored?.request).toEqual(request);
      const attempt = { jobId: id, token: 1 };
      expect(readFileSync(await artifacts.inputPath(attempt, request.init_image!))).toEqual(PNG);
      expect(readFileSync(await artifacts.inputPath(attempt, request.mask_image!))).toEqual(WEBP);
      expect(await new FilesystemArtifactStore(storage()).abandonedInputs()).toEqual([]);
    });

    it('stores one file for a picture that is used twice', async () => {
      const picture = new Picture(Buffer.from(PNG));
      await submitJobs.submit([{ prompt: 'x', init_image: picture, mask_image: picture }], null);
      expect(readdirSync(join(artifactsDir, folders()[0]!, 'inputs'))).toEqual([`${picture.sha256}.png`]);
    });

    it('gives the job of a key again when the pictures are the same, and writes none', async () => {
      const first = await submitJobs.submit([again()], 'key');
      const second = await submitJobs.submit([again()], 'key');
      expect([first.outcome, second.outcome]).toEqual(['accepted', 'existing']);
      expect(folders()).toHaveLength(1);
    });

    it('takes another picture under the same key for another body', async () => {
      await submitJobs.submit([again()], 'key');
      const other = { ...again(), init_image: new Picture(WEBP) };
      expect((await submitJobs.submit([other], 'key')).outcome).toBe('conflict');
      expect(folders()).toHaveLength(1);
    });

    it('keeps nothing of what the queue has no room for', async () => {
      await submitJobs.submit(circles(3), null, { batch: true });
      expect(await submitJobs.submit([again()], null)).toMatchObject({ outcome: 'queue_full', waiting: 3 });
      expect(folders()).toEqual([]);
    });

    it('keeps nothing of a batch of which one is refused', async () => {
      const result = await submitJobs.submit([again(), { prompt: '' }], null, { batch: true });
      expect(result).toMatchObject({ outcome: 'invalid', problems: [{ field: 'requests[1].prompt' }] });
      expect(folders()).toEqual([]);
    });

    it('takes no job whose pictures cannot be stored', async () => {
      // A file where the folder of pictures should be: what a full or broken disk does, for any user.
      writeFileSync(artifactsDir, '');
      await expect(submitJobs.submit([again()], null)).rejects.toThrow(ArtifactStoreUnavailableError);
      expect((await store.countByState()).queued).toBe(0);
    });

    it('keeps no pictures of a job that could not be stored', async () => {
      const full = Object.create(store, {
        insert: { value: () => Promise.reject(new StoreUnavailableError('the disk is full')) },
      }) as SqliteJobStore;
      const submit = submitJobsOver(full);
      await expect(submit.submit([again()], null)).rejects.toThrow(StoreUnavailableError);
      expect(folders()).toEqual([]);
    });

    it('leaves the pictures to the next start when the store cannot say whether it has the job', async () => {
      const result = await submitJobsOver(breaking({ written: false, isGone: true })).submit([again()], null);
      expect(result).toEqual({ outcome: 'unknown', retryAfterSeconds: 5 });
      expect(await new FilesystemArtifactStore(storage()).abandonedInputs()).toEqual(folders());
      expect(folders()).toHaveLength(1);
    });

    it('keeps the pictures of a job that was stored, though the store broke before it said so', async () => {
      const result = await submitJobsOver(breaking({ written: true, isGone: false })).submit([again()], null);
      expect(result.outcome).toBe('accepted');
      expect(folders()).toHaveLength(1);
      expect(await new FilesystemArtifactStore(storage()).abandonedInputs()).toEqual([]);
    });
  });

  const storage = () => new StorageConfig({ dataDir: folder, artifactsDir });
});
