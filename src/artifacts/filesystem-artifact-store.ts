import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { Injectable } from '@nestjs/common';

import { StorageConfig } from '../config/storage.config.js';
import type { ImageRef } from '../domain/generation/image-ref.js';
import { imageFileName } from '../domain/generation/image-ref.js';
import type { InputFile, StagedFile } from '../jobs/ports/artifact-store.port.js';
import { ArtifactStore, ArtifactStoreUnavailableError } from '../jobs/ports/artifact-store.port.js';

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
 *
 * What a job starts from lies in `<job>/inputs/`, announced by an empty file `.unsettled/<job>` until its row is written:
 * after a crash between the two only these have to be looked at, however many jobs there are.
 */
@Injectable()
export class FilesystemArtifactStore extends ArtifactStore {
  private readonly root: string;
  private readonly staging: string;
  private readonly unsettled: string;
  /** Announced by this process: their rows may be on their way. */
  private readonly ours = new Set<string>();

  constructor(config: StorageConfig) {
    super();
    this.root = config.artifactsDir;
    this.staging = join(this.root, '.staging');
    this.unsettled = join(this.root, '.unsettled');
  }

  async storeInputs(jobId: string, files: readonly InputFile[]): Promise<void> {
    this.ours.add(jobId);
    try {
      await mkdir(this.unsettled, { recursive: true });
      await writeFile(join(this.unsettled, jobId), '');
      await syncFolder(this.unsettled);
      const folder = this.inputsOf(jobId);
      await mkdir(folder, { recursive: true });
      for (const { ref, bytes } of files) await writeSynced(join(folder, imageFileName(ref)), bytes);
      await syncFolder(folder);
      await syncFolder(join(this.root, jobId));
      await syncFolder(this.root);
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error));
      throw new ArtifactStoreUnavailableError(cause.message, cause);
    }
  }

  async settleInputs(jobId: string): Promise<void> {
    await rm(join(this.unsettled, jobId), { force: true });
    this.ours.delete(jobId);
  }

  async abandonedInputs(): Promise<string[]> {
    const found = await readdir(this.unsettled).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    return found.filter((jobId) => !this.ours.has(jobId));
  }

  inputPath(jobId: string, ref: ImageRef): string {
    return join(this.inputsOf(jobId), imageFileName(ref));
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
    await this.settleInputs(jobId);
  }

  private inputsOf(jobId: string): string {
    return join(this.root, jobId, 'inputs');
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

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
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
