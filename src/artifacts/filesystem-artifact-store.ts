import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { Injectable } from '@nestjs/common';

import { StorageConfig } from '../config/storage.config.js';
import type { StagedFile } from '../jobs/ports/artifact-store.port.js';
import { ArtifactStore } from '../jobs/ports/artifact-store.port.js';

type Attempt = { readonly jobId: string; readonly token: number };

/** A staged file that is not what the worker said it is. */
export class DamagedFileError extends Error {
  constructor(fileName: string, expected: string, found: string) {
    super(`${fileName} is not the file the worker told of: expected ${expected}, found ${found}`);
    this.name = 'DamagedFileError';
  }
}

/**
 * Artifacts in a folder: `<job>/<token>/<file>`, staged under `.staging/<job>-<token>/` on the same file system, so that a
 * rename moves them. The token of the claim is part of the name: two attempts of a job never write the same file.
 */
@Injectable()
export class FilesystemArtifactStore extends ArtifactStore {
  private readonly root: string;
  private readonly staging: string;

  constructor(config: StorageConfig) {
    super();
    this.root = config.artifactsDir;
    this.staging = join(this.root, '.staging');
  }

  async openStaging(attempt: Attempt): Promise<string> {
    const folder = this.stagingOf(attempt);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  async adopt(attempt: Attempt, files: readonly StagedFile[]): Promise<string[]> {
    const folder = join(attempt.jobId, String(attempt.token));
    await mkdir(join(this.root, folder), { recursive: true });
    for (const file of files) await verify(join(this.stagingOf(attempt), file.fileName), file);
    for (const { fileName } of files) {
      await rename(join(this.stagingOf(attempt), fileName), join(this.root, folder, fileName));
    }
    await syncFolder(join(this.root, folder));
    await syncFolder(join(this.root, attempt.jobId));
    await syncFolder(this.root);
    return files.map(({ fileName }) => join(folder, fileName));
  }

  async dropStaging(attempt: Attempt): Promise<void> {
    await rm(this.stagingOf(attempt), { recursive: true, force: true });
  }

  async dropAllStaging(): Promise<void> {
    await rm(this.staging, { recursive: true, force: true });
  }

  async open(key: string) {
    const path = join(this.root, key);
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    return found === null ? null : { stream: createReadStream(path), bytes: found.size };
  }

  async discard({ jobId, token }: Attempt): Promise<void> {
    await rm(join(this.root, jobId, String(token)), { recursive: true, force: true });
  }

  async remove(jobId: string): Promise<void> {
    await rm(join(this.root, jobId), { recursive: true, force: true });
  }

  private stagingOf({ jobId, token }: Attempt): string {
    return join(this.staging, `${jobId}-${token}`);
  }
}

/** The worker has synced the file; this makes sure that it is whole, on whatever disk it lies. */
async function verify(path: string, expected: StagedFile): Promise<void> {
  const { size } = await stat(path);
  if (size !== expected.bytes)
    throw new DamagedFileError(expected.fileName, `${expected.bytes} bytes`, `${size} bytes`);
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  const sha256 = hash.digest('hex');
  if (sha256 !== expected.sha256) throw new DamagedFileError(expected.fileName, expected.sha256, sha256);
}

/** A rename is durable once its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
