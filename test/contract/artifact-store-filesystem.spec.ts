import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { FilesystemArtifactStore } from '../../src/artifacts/filesystem-artifact-store.js';
import { NodeConfig } from '../../src/config/node.config.js';
import { StorageConfig } from '../../src/config/storage.config.js';
import { describeArtifactStore } from './artifact-store.suite.js';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'safelight-artifacts-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describeArtifactStore('FilesystemArtifactStore', (node) => {
  const storage = new StorageConfig({ dataDir: root, artifactsDir: root });
  return new FilesystemArtifactStore(storage, new NodeConfig({ name: node }));
});
