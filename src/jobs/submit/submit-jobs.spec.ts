import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { modelDescription } from '../../../test/support/api.js';
import { PICTURES } from '../../../test/support/pictures.js';
import { FilesystemArtifactStore } from '../../artifacts/filesystem-artifact-store.js';
import { QueueConfig } from '../../config/queue.config.js';
import { StorageConfig } from '../../config/storage.config.js';
import { InProcessJobEvents } from '../../events/in-process-job-events.js';
import { SqliteJobStore } from '../../persistence/sqlite/sqlite-job-store.js';
import { ArtifactStoreUnavailableError } from '../ports/artifact-store.port.js';
import { StoreUnavailableError } from '../ports/job-store.port.js';
import { Picture } from './picture.js';
import { SubmitJobs } from './submit-jobs.js';

const PNG = Buffer.from(PICTURES['a PNG'], 'base64');
const WEBP = Buffer.from(PICTURES['a lossy WebP'], 'base64');

describe('SubmitJobs', () => {
  let folder: string;
  let store: SqliteJobStore;
  let artifactsDir: string;
  let artifacts: FilesystemArtifactStore;
  let submitJobs: SubmitJobs;
  const clock = { at: Date.UTC(2026, 0, 1), now: () => clock.at };
  const shapes = modelDescription({ capabilities: ['text_to_image', 'image_to_image', 'inpaint'] });
  const models = {
    list: () => [shapes],
    find: (id: string) => (id === shapes.id ? shapes : null),
    default: () => shapes,
  };
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-submit-'));
    store = await SqliteJobStore.open({ path: join(folder, 'jobs.sqlite') });
    artifactsDir = join(folder, 'artifacts');
    artifacts = new FilesystemArtifactStore(new StorageConfig({ dataDir: folder, artifactsDir }));
    const queue = new QueueConfig({ maxWaiting: 3 });
    submitJobs = new SubmitJobs(store, new InProcessJobEvents(), models, clock, queue, artifacts);
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

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

  it('refuses what would not fit into the queue, whole, and says when to come back', async () => {
    const result = await submitJobs.submit(
      Array.from({ length: 4 }, () => ({ prompt: 'a red circle' })),
      null,
      true,
    );
    expect(result).toMatchObject({ outcome: 'queue_full', waiting: 0, limit: 3 });
    expect((await store.countByState()).queued).toBe(0);
  });

  it('takes nothing more once it is closed, but still knows what it took', async () => {
    const input = { prompt: 'a red circle' };
    await submitJobs.submit([input], 'key');
    submitJobs.close();
    expect((await submitJobs.submit([input], 'key')).outcome).toBe('existing');
    expect(await submitJobs.submit([input], null)).toEqual({ outcome: 'not_serving', retryAfterSeconds: 5 });
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
      expect(readFileSync(artifacts.inputPath(id, request.init_image!))).toEqual(PNG);
      expect(readFileSync(artifacts.inputPath(id, request.mask_image!))).toEqual(WEBP);
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
      const result = await submitJobs.submit([again(), again(), again(), again()], null, true);
      expect(result).toMatchObject({ outcome: 'queue_full', waiting: 0 });
      expect(folders()).toEqual([]);
    });

    it('keeps nothing of a batch of which one is refused', async () => {
      const result = await submitJobs.submit([again(), { prompt: '' }], null, true);
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
      const queue = new QueueConfig({ maxWaiting: 3 });
      const submit = new SubmitJobs(full, new InProcessJobEvents(), models, clock, queue, artifacts);
      await expect(submit.submit([again()], null)).rejects.toThrow(StoreUnavailableError);
      expect(folders()).toEqual([]);
    });

    it.each([
      ['the next start', 'the store cannot say whether it has the job', false],
      ['the job', 'the store had written it before it broke', true],
    ])('leaves the pictures to %s when %s', async (_, __, written) => {
      const broken = Object.create(store, {
        insert: {
          value: async (...args: Parameters<typeof store.insert>) => {
            if (written) await store.insert(...args);
            throw new StoreUnavailableError('its thread died');
          },
        },
        ...(written ? {} : { get: { value: () => Promise.reject(new StoreUnavailableError('its thread died')) } }),
      }) as SqliteJobStore;
      const queue = new QueueConfig({ maxWaiting: 3 });
      const submit = new SubmitJobs(broken, new InProcessJobEvents(), models, clock, queue, artifacts);
      await expect(submit.submit([again()], null)).rejects.toThrow(StoreUnavailableError);
      expect(await new FilesystemArtifactStore(storage()).abandonedInputs()).toEqual(folders());
      expect(folders()).toHaveLength(1);
      expect((await store.countByState()).queued).toBe(written ? 1 : 0);
    });
  });

  const storage = () => new StorageConfig({ dataDir: folder, artifactsDir });
});
