import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import { ArtifactsConfig } from '../config/artifacts.config.js';
import { StorageConfig } from '../config/storage.config.js';
import { FilesystemArtifactStore } from './filesystem-artifact-store.js';
import { openArtifactStore } from './open-artifact-store.js';
import { UnusableArtifactStoreError } from './unusable-artifact-store.error.js';

const FOLDER = { artifacts: new ArtifactsConfig({ s3Region: 'us-east-1', s3ForcePathStyle: false }) };
const COMMON = { node: { name: 'gpu1' }, log: pino({ level: 'silent' }) };

/** With a bucket: test/contract/artifact-store-s3.spec.ts. */
describe('openArtifactStore without a bucket', () => {
  let dataDir: string;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'safelight-artifacts-'));
  });
  afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

  it('makes the folder, tries it out and opens it', async () => {
    const storage = new StorageConfig({ dataDir, artifactsDir: join(dataDir, 'deep', 'artifacts') });
    const store = await openArtifactStore({ storage, ...FOLDER, ...COMMON });
    expect(store).toBeInstanceOf(FilesystemArtifactStore);
    expect(readdirSync(storage.artifactsDir).filter((name) => !name.startsWith('.staging'))).toEqual([]);
    store.close();
  });

  it('refuses a folder that cannot be one, and says what to do', async () => {
    const artifactsDir = join(dataDir, 'file');
    writeFileSync(artifactsDir, '');
    const storage = new StorageConfig({ dataDir, artifactsDir });
    const failure = await openArtifactStore({ storage, ...FOLDER, ...COMMON }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UnusableArtifactStoreError);
    expect((failure as UnusableArtifactStoreError).nextStep).toContain('artifacts_dir (SAFELIGHT_ARTIFACTS_DIR)');
    expect(existsSync(artifactsDir)).toBe(true);
  });
});
