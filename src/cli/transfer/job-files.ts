import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { Artifact } from '../../domain/job/job.js';
import { ArtifactMissingError, type ArtifactTransfer } from '../../jobs/ports/artifact-transfer.port.js';

/** A file of a job in an export, below `artifacts/`. */
export interface TransferFile {
  readonly key: string;
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** A file that is not the one the export told of. */
export class DamagedExportFileError extends Error {
  constructor(
    readonly path: string,
    readonly what: string,
  ) {
    super(`${path} is damaged: ${what}`);
    this.name = 'DamagedExportFileError';
  }
}

/** Path of a file in the folder of an export. */
export function pathIn(folder: string, key: string): string {
  return join(folder, 'artifacts', ...key.split('/'));
}

/**
 * Copies all a job keeps into the folder. `left` are the pictures its row names that are not there, or are not what the row
 * says: they were lost before.
 */
export async function exportFiles(
  jobId: string,
  pictures: readonly Pick<Artifact, 'key' | 'sha256'>[],
  from: ArtifactTransfer,
  folder: string,
): Promise<{ files: TransferFile[]; left: string[] }> {
  const expected = new Map(pictures.map(({ key, sha256 }) => [key, sha256]));
  const files: TransferFile[] = [];
  for await (const { key } of from.keys(jobId)) {
    const copied = await copyOut(key, from, pathIn(folder, key));
    if (copied === null) continue;
    const isWhole = (expected.get(key) ?? copied.sha256) === copied.sha256;
    if (isWhole) files.push(copied);
    else await rm(pathIn(folder, key));
  }
  const there = new Set(files.map(({ key }) => key));
  return { files, left: [...expected.keys()].filter((key) => !there.has(key)) };
}

/** Puts the files of a job into a store, each after checking that it is whole. Throws {@link DamagedExportFileError}. */
export async function importFiles(files: readonly TransferFile[], folder: string, to: ArtifactTransfer): Promise<void> {
  for (const { key, bytes, sha256 } of files) {
    const path = pathIn(folder, key);
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') throw new DamagedExportFileError(path, 'it is missing');
      throw error;
    });
    if (found.size !== bytes) throw new DamagedExportFileError(path, `it has ${found.size} bytes instead of ${bytes}`);
    const hash = createHash('sha256');
    await pipeline(createReadStream(path), hash);
    if (hash.digest('hex') !== sha256) throw new DamagedExportFileError(path, 'its SHA-256 is another');
    await to.put(key, createReadStream(path), bytes);
  }
}

/** Null: it was removed since it was listed. */
async function copyOut(key: string, from: ArtifactTransfer, path: string): Promise<TransferFile | null> {
  let stream: Readable;
  try {
    stream = await from.read(key);
  } catch (error) {
    if (error instanceof ArtifactMissingError) return null;
    throw error;
  }
  await mkdir(dirname(path), { recursive: true });
  const hash = createHash('sha256');
  let bytes = 0;
  const file = await open(path, 'w');
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.length;
      await file.appendFile(chunk);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { key, bytes, sha256: hash.digest('hex') };
}
