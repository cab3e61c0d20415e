import { createHash } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';

import type { FileFacts } from './file-facts.js';
import { DamagedFileError } from './file-facts.js';

/**
 * Writes a new file and makes it durable; where that fails there is no file. Says what was written. A stream is read to its
 * end or destroyed.
 */
export async function writeSynced(path: string, content: Uint8Array | Readable): Promise<FileFacts> {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    const file = await open(path, 'w');
    try {
      const chunks = content instanceof Uint8Array ? [content] : (content as AsyncIterable<Uint8Array>);
      for await (const chunk of chunks) {
        hash.update(chunk);
        bytes += chunk.byteLength;
        await file.writeFile(chunk);
      }
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    // One that nobody reads would keep its connection, and end this process when that breaks.
    if (!(content instanceof Uint8Array)) content.destroy();
    await removeQuietly(path);
    throw error;
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** As {@link writeSynced}, for a stream whose length is known: there is no file when it is another. */
export async function writeExactly(path: string, name: string, stream: Readable, bytes: number): Promise<FileFacts> {
  const written = await writeSynced(path, stream);
  if (written.bytes === bytes) return written;
  await removeQuietly(path);
  throw new DamagedFileError(name, `${bytes} bytes`, `${written.bytes} bytes`);
}

/** A file on its way to its key. */
export interface Move {
  /** Null: it lies there already, and may not be durable yet. */
  readonly from: string | null;
  readonly key: string;
}

/**
 * Renames files to their keys below a root and makes the renames durable: a file is there whole or not at all, also after a
 * power cut. The files lie on the file system of the root.
 */
export async function moveIn(root: string, files: readonly Move[]): Promise<void> {
  const folders = new Set(files.map(({ key }) => dirname(key)));
  for (const folder of folders) await mkdir(join(root, folder), { recursive: true });
  for (const { from, key } of files) if (from !== null) await rename(from, join(root, key));
  const toSync = new Set(['.']);
  for (let folder of folders) for (; folder !== '.'; folder = dirname(folder)) toSync.add(folder);
  // At the same time: until all are durable nobody is told of the files, whichever of their folders a power cut leaves.
  await Promise.all([...toSync].map((folder) => syncFolder(join(root, folder))));
}

/** Syncs that wait for the one under way, by folder. */
const nextSyncs = new Map<string, Promise<void>>();
const syncs = new Map<string, Promise<void>>();

/**
 * A rename is durable once its folder is. All that is renamed while a folder is synced shares the sync after it: every job
 * has its folder in the same one.
 */
export function syncFolder(path: string): Promise<void> {
  const shared = nextSyncs.get(path);
  if (shared !== undefined) return shared;
  const begin = () => {
    nextSyncs.delete(path);
    const sync = syncNow(path).finally(() => {
      if (syncs.get(path) === sync) syncs.delete(path);
    });
    syncs.set(path, sync);
    return sync;
  };
  const underWay = syncs.get(path);
  if (underWay === undefined) return begin();
  const next = underWay.then(begin, begin);
  nextSyncs.set(path, next);
  return next;
}

async function syncNow(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Clears up after a failure that is about to be told; a second one on the way would only hide it. */
async function removeQuietly(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => undefined);
}
