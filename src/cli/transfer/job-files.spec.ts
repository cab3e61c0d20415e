import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import { FilesystemArtifactStore } from '../../artifacts/filesystem-artifact-store.js';
import { loadSettings } from '../../config/load-settings.js';
import type { TransferFile } from './job-files.js';
import { exportFiles, importFiles, pathIn } from './job-files.js';

const JOB = '0199c1d2-7a3b-7c4d-8e5f-60718293a4b5';
const KEYS = [`${JOB}/1/0.png`, `${JOB}/checkpoints/1-step-7.safetensors`, `${JOB}/inputs/aa.png`];
const bytesOf = (key: string) => Buffer.from(`the bytes of ${key}`);
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const fileOf = (key: string): TransferFile => ({ key, bytes: bytesOf(key).length, sha256: sha256(bytesOf(key)) });
const picture = { key: `${JOB}/1/0.png`, sha256: sha256(bytesOf(`${JOB}/1/0.png`)) };

describe('files of a job', () => {
  let parent: string;
  let folder: string;

  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'safelight-files-'));
    folder = join(parent, 'export');
  });

  afterEach(() => rm(parent, { recursive: true }));

  function storeIn(name: string): FilesystemArtifactStore {
    const { storage, node } = loadSettings({ cwd: parent, env: { SAFELIGHT_ARTIFACTS_DIR: join(parent, name) } });
    return new FilesystemArtifactStore(storage, node);
  }

  async function filled(): Promise<FilesystemArtifactStore> {
    const store = storeIn('source');
    for (const key of KEYS) await store.put(key, Readable.from([bytesOf(key)]), bytesOf(key).length);
    return store;
  }

  async function exported(files: readonly TransferFile[]): Promise<void> {
    for (const { key } of files) {
      await mkdir(dirname(pathIn(folder, key)), { recursive: true });
      await writeFile(pathIn(folder, key), bytesOf(key));
    }
  }

  it('are copied out with what they are known by', async () => {
    const { files, left } = await exportFiles(JOB, [picture], await filled(), folder);
    expect(files.toSorted((a, b) => a.key.localeCompare(b.key))).toEqual(KEYS.map(fileOf));
    expect(left).toEqual([]);
    for (const key of KEYS) expect(await readFile(pathIn(folder, key))).toEqual(bytesOf(key));
  });

  it('are left behind when they are missing or are not what the row says', async () => {
    const pictures = [
      { key: `${JOB}/1/1.png`, sha256: 'cc' },
      { ...picture, sha256: 'dd' },
    ];
    const { files, left } = await exportFiles(JOB, pictures, await filled(), folder);
    expect(left).toEqual([`${JOB}/1/1.png`, picture.key]);
    expect(files.map(({ key }) => key)).not.toContain(picture.key);
    expect(await readdir(dirname(pathIn(folder, picture.key)))).toEqual([]);
  });

  it('are put under the same keys, and again without harm', async () => {
    const files = KEYS.map(fileOf);
    await exported(files);
    const target = storeIn('target');
    await importFiles(files, folder, target);
    await importFiles(files, folder, target);
    for (const key of KEYS) {
      expect(await buffer(await target.read(key))).toEqual(bytesOf(key));
    }
  });

  it.each<[string, (path: string) => Promise<void>, string]>([
    ['missing', (path) => rm(path), 'it is missing'],
    ['shorter', (path) => truncate(path, 5), 'it has 5 bytes instead of'],
    ['another', (path) => writeFile(path, bytesOf(`${JOB}/1/9.png`)), 'its SHA-256 is another'],
  ])('are not put when one is %s', async (_how, damage, what) => {
    const files = [fileOf(picture.key)];
    await exported(files);
    await damage(pathIn(folder, picture.key));
    const target = storeIn('target');
    await expect(importFiles(files, folder, target)).rejects.toThrow(what);
    for await (const { key } of target.keys(JOB)) throw new Error(`${key} was put`);
  });
});
