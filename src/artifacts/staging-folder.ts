import { mkdir, mkdtemp, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { Attempt } from './artifact-keys.js';
import { jobFolder, plainName } from './artifact-keys.js';

/** A node removes this whole folder at start, so it belongs to that node alone and holds nothing that lasts. */
export class StagingFolder {
  constructor(readonly path: string) {}

  /** An empty folder for an attempt. */
  async open(attempt: Attempt): Promise<string> {
    const folder = this.of(attempt);
    // As a rule there is nothing of that name, and the folder around it.
    if (await isMade(folder)) return folder;
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  /** Path of a file in an attempt's folder; its name is one the worker chose. */
  fileOf(attempt: Attempt, fileName: string): string {
    return join(this.of(attempt), plainName('the name of a staged file', fileName));
  }

  /** Path for what is fetched for an attempt, below its folder but apart from what the worker writes there. */
  async fetchedFor(attempt: Attempt, fileName: string): Promise<string> {
    const folder = join(this.of(attempt), 'fetched');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return join(folder, plainName('the name of a fetched file', fileName));
  }

  /** A folder for one call, removed when the call ends, however it ends. */
  async withScratch<T>(use: (folder: string) => Promise<T>): Promise<T> {
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    const folder = await mkdtemp(join(this.path, 'scratch-'));
    try {
      return await use(folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async drop(attempt: Attempt): Promise<void> {
    const folder = this.of(attempt);
    // As a rule it is empty: its files have been moved.
    await rmdir(folder).catch(() => rm(folder, { recursive: true, force: true }));
  }

  async dropAll(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }

  private of({ jobId, token }: Attempt): string {
    return join(this.path, `${jobFolder(jobId)}-${token}`);
  }
}

/** Makes a new folder; false when it is there already, or what it would lie in is not. */
async function isMade(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' || code === 'ENOENT') return false;
    throw error;
  }
}
