import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, stat } from 'node:fs/promises';

/** Bytes read at a time. */
const BLOCK_BYTES = 1024 * 1024;

/** What a file is known by. */
export interface FileFacts {
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** A file that is not what it was said to be. */
export class DamagedFileError extends Error {
  constructor(name: string, expected: string, found: string) {
    super(`${name} is not the file that was told of: expected ${expected}, found ${found}`);
    this.name = 'DamagedFileError';
  }
}

/** Makes sure that a file is the one that was told of, on whatever disk it lies. Size first, because it is cheap. */
export async function verifyFile(path: string, name: string, expected: FileFacts): Promise<void> {
  if (!(await isThere(path, name, expected))) throw new DamagedFileError(name, `${expected.bytes} bytes`, 'no file');
}

/** As {@link verifyFile}; false when there is no file. */
export async function isThere(path: string, name: string, expected: FileFacts): Promise<boolean> {
  const file = await openIfThere(path);
  if (file === null) return false;
  try {
    const { size } = await file.stat();
    if (size !== expected.bytes) throw new DamagedFileError(name, `${expected.bytes} bytes`, `${size} bytes`);
    const sha256 = await hashOf(file, size);
    if (sha256 !== expected.sha256) throw new DamagedFileError(name, expected.sha256, sha256);
    return true;
  } finally {
    await file.close();
  }
}

/** Size of a file; null when there is none. */
export async function sizeOf(path: string): Promise<number | null> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : null;
  } catch (error) {
    return nullIfAbsent(error);
  }
}

export async function hashFile(path: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    return await hashOf(file, (await file.stat()).size);
  } finally {
    await file.close();
  }
}

async function openIfThere(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r');
  } catch (error) {
    return nullIfAbsent(error);
  }
}

/** By blocks, without a stream: a picture is one block. */
async function hashOf(file: FileHandle, size: number): Promise<string> {
  const hash = createHash('sha256');
  const block = Buffer.allocUnsafe(Math.min(Math.max(1, size), BLOCK_BYTES));
  for (let at = 0; at < size;) {
    const { bytesRead } = await file.read(block, 0, block.length, at);
    if (bytesRead === 0) break;
    hash.update(block.subarray(0, bytesRead));
    at += bytesRead;
  }
  return hash.digest('hex');
}

function nullIfAbsent(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
  throw error;
}
