import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { runInThisContext } from 'node:vm';

import { NodeConfig } from '../config/node.config.js';
import { StorageConfig } from '../config/storage.config.js';
import type { ImageRef } from '../domain/generation/image-ref.js';
import { ArtifactStoreUnavailableError } from '../jobs/ports/artifact-store.port.js';
import { FilesystemArtifactStore } from './filesystem-artifact-store.js';

const ATTEMPT = { jobId: '0190aaaa-0000-7000-8000-000000000001', token: 3 };
const BYTES = Buffer.alloc(8192, 'not really a picture');
const FILE = { fileName: '0.png', bytes: BYTES.length, sha256: createHash('sha256').update(BYTES).digest('hex') };
const REF: ImageRef = { sha256: FILE.sha256, bytes: FILE.bytes, media_type: 'image/webp', width: 1, height: 1 };

/** What every store must do is in test/contract; this is what a folder adds: disks that are full, blocked or cut short. */
describe('FilesystemArtifactStore', () => {
  let root: string;
  let store: FilesystemArtifactStore;
  const openAs = (node: string) =>
    new FilesystemArtifactStore(
      new StorageConfig({ dataDir: root, artifactsDir: root }),
      new NodeConfig({ name: node }),
    );
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'safelight-artifacts-'));
    store = openAs('gpu1');
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it('moves a picture rather than copy it', async () => {
    const staging = await store.openStaging(ATTEMPT);
    writeFileSync(join(staging, FILE.fileName), BYTES);
    await store.adopt(ATTEMPT, [FILE]);
    expect(existsSync(join(staging, FILE.fileName))).toBe(false);
    expect(readFileSync(join(root, ATTEMPT.jobId, '3', FILE.fileName))).toEqual(BYTES);
  });

  it('has workers read inputs where they lie', async () => {
    await store.storeInputs(ATTEMPT.jobId, [{ ref: REF, bytes: BYTES }]);
    const path = await store.inputPath(ATTEMPT, REF);
    expect(path).toBe(join(root, ATTEMPT.jobId, 'inputs', `${REF.sha256}.webp`));
    expect(readFileSync(path)).toEqual(BYTES);
  });

  it('adopts the rest when a call that was cut short is made again', async () => {
    const second = { ...FILE, fileName: '1.png' };
    const staging = await store.openStaging(ATTEMPT);
    writeFileSync(join(staging, '0.png'), BYTES);
    writeFileSync(join(staging, '1.png'), BYTES);
    // A folder in the way of the second rename.
    mkdirSync(join(root, ATTEMPT.jobId, '3', '1.png'), { recursive: true });
    await expect(store.adopt(ATTEMPT, [FILE, second])).rejects.toThrow(ArtifactStoreUnavailableError);
    expect(existsSync(join(staging, '0.png'))).toBe(false);
    rmSync(join(root, ATTEMPT.jobId, '3', '1.png'), { recursive: true });
    const keys = await store.adopt(ATTEMPT, [FILE, second]);
    expect(keys.map((key) => readFileSync(join(root, key)))).toEqual([BYTES, BYTES]);
  });

  it('keeps a checkpoint when a call that was cut short is made again', async () => {
    const staging = await store.openStaging(ATTEMPT);
    writeFileSync(join(staging, 'c'), BYTES);
    const key = await store.keepCheckpoint(ATTEMPT, 'c');
    expect(await store.keepCheckpoint(ATTEMPT, 'c')).toBe(key);
    expect(readFileSync(join(root, key))).toEqual(BYTES);
  });

  it('says that it is unavailable when the bytes cannot be written', async () => {
    writeFileSync(join(root, ATTEMPT.jobId), 'a file where the folder should be');
    const storing = store.storeInputs(ATTEMPT.jobId, [{ ref: REF, bytes: BYTES }]);
    await expect(storing).rejects.toThrow(ArtifactStoreUnavailableError);
    await store.remove(ATTEMPT.jobId);
    expect(await openAs('gpu1').abandonedInputs()).toEqual([]);
  });

  describe('on a disk that takes no more', () => {
    /** Files of this process may grow to 4 KiB and no further: as when a disk fills up in the middle of a file. */
    async function whileFull(act: () => Promise<void>): Promise<void> {
      const limit = (fsize: string) => execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${fsize}`]);
      // Unless somebody listens, the system kills the process for it; Jest's copy of `process` hears no signals.
      const real = runInThisContext('process') as NodeJS.Process;
      const survive = () => undefined;
      real.on('SIGXFSZ', survive);
      limit('4096:');
      try {
        await act();
      } finally {
        limit('unlimited:');
        real.off('SIGXFSZ', survive);
      }
    }

    it('keeps no part of an input, and says so', async () => {
      await whileFull(async () => {
        const storing = store.storeInputs(ATTEMPT.jobId, [{ ref: REF, bytes: BYTES }]);
        await expect(storing).rejects.toThrow(ArtifactStoreUnavailableError);
      });
      expect(filesBelow(root)).toEqual([`.unsettled/gpu1/${ATTEMPT.jobId}`]);
      await store.storeInputs(ATTEMPT.jobId, [{ ref: REF, bytes: BYTES }]);
      expect(readFileSync(await store.inputPath(ATTEMPT, REF))).toEqual(BYTES);
    });

    it('keeps no part of what is moved in from another store', async () => {
      const key = `${ATTEMPT.jobId}/3/0.png`;
      await whileFull(async () => {
        const putting = store.put(key, Readable.from([BYTES]), BYTES.length);
        await expect(putting).rejects.toThrow(ArtifactStoreUnavailableError);
      });
      expect(filesBelow(root)).toEqual([]);
      await store.put(key, Readable.from([BYTES]), BYTES.length);
      expect(filesBelow(root)).toEqual([key]);
    });
  });

  describe('when it is tried out', () => {
    it('leaves no trace', async () => {
      await store.prove();
      expect(filesBelow(root)).toEqual([]);
    });

    it('tells what is wrong with the folder and what to do', async () => {
      const blocked = join(root, 'file');
      writeFileSync(blocked, '');
      const storage = new StorageConfig({ dataDir: root, artifactsDir: join(blocked, 'artifacts') });
      const failing = new FilesystemArtifactStore(storage, new NodeConfig({ name: 'gpu1' })).prove();
      await expect(failing).rejects.toThrow(/file\/artifacts cannot be written.*ENOTDIR.*SAFELIGHT_ARTIFACTS_DIR/);
    });
  });

  it.each(['..', '.staging', 'a/b', ''])('takes no node called %j, whose folder would be another one', (name) => {
    expect(() => openAs(name)).toThrow('cannot be the name of a node');
  });
});

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1))
    .sort();
}
