import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';

import type { Settings } from '../../config/settings.js';
import { formatBytes } from '../format-duration.js';
import type { Finding } from './finding.js';
import { fail, ok, warn } from './finding.js';

const MEBIBYTE = 1024 ** 2;
const LITTLE_SPACE = 1024 * MEBIBYTE;
const NO_SPACE = 50 * MEBIBYTE;

/** Whether the folders can be written and have room; that of artifacts only when they are kept in one. */
export async function checkDataFolder({ storage, artifacts }: Settings): Promise<Finding[]> {
  const folders = new Set([storage.dataDir, ...(artifacts.s3Bucket === null ? [storage.artifactsDir] : [])]);
  return Promise.all(
    [...folders].map((folder) => checkFolder(folder === storage.dataDir ? 'data' : 'artifacts', folder)),
  );
}

async function checkFolder(area: string, folder: string): Promise<Finding> {
  const setting = area === 'data' ? 'data_dir' : 'artifacts_dir';
  try {
    const existing = await nearestExisting(folder);
    if (!(await stat(existing)).isDirectory())
      return fail(area, `${existing} is no folder`, `remove it, or choose another ${setting}`);
    await access(existing, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = await statfs(existing);
    return describeSpace(area, folder, existing !== folder, bavail * bsize);
  } catch (error) {
    const { code, path = folder } = error as NodeJS.ErrnoException;
    const mend = `make it writable for user ${process.getuid?.() ?? ''}, or choose another ${setting}`;
    return fail(area, `${path} cannot be written (${code})`, mend);
  }
}

export function describeSpace(area: string, folder: string, isNew: boolean, free: number): Finding {
  const message = `${folder}${isNew ? ' (will be made)' : ''}, ${formatBytes(free)} free`;
  if (free < NO_SPACE) return fail(area, message, 'free some space: jobs and pictures cannot be stored');
  return free < LITTLE_SPACE ? warn(area, message, 'free some space, or shorten retention.jobs_ms') : ok(area, message);
}

async function nearestExisting(folder: string): Promise<string> {
  try {
    await stat(folder);
    return folder;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    return nearestExisting(dirname(folder));
  }
}
