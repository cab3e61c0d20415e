import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import { ArtifactStoreUnavailableError } from '../jobs/ports/artifact-store.port.js';
import { StorageConfig } from '../config/storage.config.js';
import { DamagedFileError, FilesystemArtifactStore } from './filesystem-artifact-store.js';

const ATTEMPT = { jobId: '0190aaaa-0000-7000-8000-000000000001', token: 3 };
const BYTES = Buffer.from('not really a picture');
const FILE = { fileName: '0.png', bytes: BYTES.length, sha256: createHash('sha256').update(BYTES).digest('hex') };

describe('FilesystemArtifactStore', () => {
  let root: string;
  let store: FilesystemArtifactStore;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'safelight-artifacts-'));
    store = new FilesystemArtifactStore(new StorageConfig({ dataDir: root, artifactsDir: root }));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it('moves a staged file in and gives its bytes back', async () => {
    const staging = await store.openStaging(ATTEMPT);
    writeFileSync(join(staging, FILE.fileName), BYTES);
    const [key] = await store.adopt(ATTEMPT, [FILE]);
    const found = await store.open(key!);
    expect(found?.bytes).toBe(BYTES.length);
    expect(await buffer(found!.stream)).toEqual(BYTES);
    expect(existsSync(join(staging, FILE.fileName))).toBe(false);
  });

  it.each([
    ['of another length', Buffer.from('short')],
    ['with another content', Buffer.from('not really a pictura')],
  ])('refuses a file %s than the worker said, and adopts nothing', async (_, bytes) => {
    const staging = await store.openStaging(ATTEMPT);
    writeFileSync(join(staging, FILE.fileName), bytes);
    await expect(store.adopt(ATTEMPT, [FILE])).rejects.toThrow(DamagedFileError);
    expect(await store.open(join(ATTEMPT.jobId, '3', FILE.fileName))).toBeNull();
  });

  it('begins every attempt with an empty folder and leaves none behind', async () => {
    const staging = await store.openStaging(ATTEMPT);
    writeFileSync(join(staging, 'half-written'), '');
    expect(existsSync(join(await store.openStaging(ATTEMPT), 'half-written'))).toBe(false);
    await store.dropStaging(ATTEMPT);
    await store.dropStaging(ATTEMPT);
    expect(existsSync(staging)).toBe(false);
  });

  it('removes what a job made', async () => {
    const staging = await store.openStaging(ATTEMPT);
    writeFileSync(join(staging, FILE.fileName), BYTES);
    const [key] = await store.adopt(ATTEMPT, [FILE]);
    await store.remove(ATTEMPT.jobId);
    expect(await store.open(key!)).toBeNull();
  });

  describe('for what a job starts from', () => {
    const ref = { ...FILE, media_type: 'image/webp', width: 1, height: 1 } as const;
    const afterRestart = () => new FilesystemArtifactStore(new StorageConfig({ dataDir: root, artifactsDir: root }));

    it('keeps the bytes until the job is removed', async () => {
      await store.storeInputs(ATTEMPT.jobId, [{ ref, bytes: BYTES }]);
      await store.settleInputs(ATTEMPT.jobId);
      const path = store.inputPath(ATTEMPT.jobId, ref);
      expect(path).toBe(join(root, ATTEMPT.jobId, 'inputs', `${ref.sha256}.webp`));
      await store.discard(ATTEMPT);
      await store.dropAllStaging();
      expect(readFileSync(path)).toEqual(BYTES);
      expect(await afterRestart().abandonedInputs()).toEqual([]);
      await store.remove(ATTEMPT.jobId);
      expect(existsSync(path)).toBe(false);
    });

    it('finds after a crash what was stored and not settled, and nothing of its own', async () => {
      await store.storeInputs(ATTEMPT.jobId, [{ ref, bytes: BYTES }]);
      expect(await store.abandonedInputs()).toEqual([]);
      const next = afterRestart();
      expect(await next.abandonedInputs()).toEqual([ATTEMPT.jobId]);
      await next.remove(ATTEMPT.jobId);
      expect(await afterRestart().abandonedInputs()).toEqual([]);
      expect(existsSync(join(root, ATTEMPT.jobId))).toBe(false);
    });

    it('says that it is unavailable when the bytes cannot be written', async () => {
      writeFileSync(join(root, ATTEMPT.jobId), 'a file where the folder should be');
      await expect(store.storeInputs(ATTEMPT.jobId, [{ ref, bytes: BYTES }])).rejects.toThrow(
        ArtifactStoreUnavailableError,
      );
      await store.remove(ATTEMPT.jobId);
      expect(await afterRestart().abandonedInputs()).toEqual([]);
    });
  });
});
