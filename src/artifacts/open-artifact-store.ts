import { join } from 'node:path';

import type { Logger } from 'pino';

import type { ArtifactsConfig } from '../config/artifacts.config.js';
import type { NodeConfig } from '../config/node.config.js';
import type { StorageConfig } from '../config/storage.config.js';
import type { ArtifactStore } from '../jobs/ports/artifact-store.port.js';
import type { ArtifactTransfer } from '../jobs/ports/artifact-transfer.port.js';
import { FilesystemArtifactStore } from './filesystem-artifact-store.js';

/** A store that was tried out; whoever opened it closes it. */
export type OpenedArtifactStore = ArtifactStore & ArtifactTransfer & { close(): void };

export interface ArtifactStoreSettings {
  readonly storage: StorageConfig;
  readonly artifacts: ArtifactsConfig;
  readonly node: NodeConfig;
  readonly log: Logger;
}

/**
 * Opens the store the settings name and proves that it can be written, read and cleared.
 * @throws UnusableArtifactStoreError with what to do next
 */
export async function openArtifactStore(settings: ArtifactStoreSettings): Promise<OpenedArtifactStore> {
  const { store, place } = await choose(settings);
  try {
    await store.prove();
  } catch (error) {
    store.close();
    throw error;
  }
  settings.log.info({ place }, 'pictures are kept here');
  return store;
}

async function choose({ storage, artifacts, node }: ArtifactStoreSettings) {
  const { s3Bucket } = artifacts;
  if (s3Bucket === null) return { store: new FilesystemArtifactStore(storage, node), place: storage.artifactsDir };
  // Half a second of imports that a folder does not need.
  const [{ S3Bucket }, { S3ArtifactStore }] = await Promise.all([
    import('./s3/s3-bucket.js'),
    import('./s3/s3-artifact-store.js'),
  ]);
  const bucket = new S3Bucket(s3Bucket, artifacts);
  const stagingDir = join(storage.dataDir, 'staging', node.name);
  return { store: new S3ArtifactStore({ bucket, stagingDir, node: node.name }), place: bucket.name };
}
