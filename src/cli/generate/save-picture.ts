import { createHash, randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { CliError } from '../cli-error.js';
import { ApiError } from '../client/api-error.js';
import type { ApiClient } from '../client/api-client.js';
import { UnreachableError } from '../client/connect-error.js';
import type { ArtifactJson } from '../client/wire.js';
import { EXIT } from '../exit-code.js';

const DOWNLOADS = 3;
const RETRY_DELAY_MS = 500;
/** Longest time one picture may take to arrive; the largest are some tens of megabytes. */
const DOWNLOAD_TIMEOUT_MS = 120_000;

/** Downloads a picture to the first candidate that is free; returns its path. Nothing half-written is ever left there. */
export async function savePicture(
  client: ApiClient,
  picture: ArtifactJson,
  candidates: Iterable<{ path: string; replace: boolean }>,
): Promise<string> {
  for (const { path, replace } of candidates) {
    try {
      if (!replace && !(await reserve(path))) continue;
      await saveAs(path, replace, client, picture);
      return path;
    } catch (error) {
      throw isOwnDisk(error) ? cannotWrite(client, picture, path, error) : error;
    }
  }
  throw new RangeError('no candidate was left');
}

/** Takes a name by making an empty file; false when it is taken. */
async function reserve(path: string): Promise<boolean> {
  try {
    await (await open(path, 'wx')).close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function saveAs(path: string, replace: boolean, client: ApiClient, picture: ArtifactJson): Promise<void> {
  const partial = join(dirname(path), `.${basename(path)}.${randomUUID()}.part`);
  try {
    await download(client, picture, partial);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    if (!replace) await rm(path, { force: true });
    throw error;
  }
}

async function download(client: ApiClient, picture: ArtifactJson, to: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await downloadOnce(client, picture, to);
      return;
    } catch (error) {
      const isPassing = error instanceof ApiError ? error.isPassing : !isOwnDisk(error);
      if (!isPassing || attempt === DOWNLOADS) throw told(client, error);
      await delay(RETRY_DELAY_MS);
    }
  }
}

async function downloadOnce(client: ApiClient, picture: ArtifactJson, to: string): Promise<void> {
  const response = await client.open(picture.url, {}, AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS));
  const hash = createHash('sha256');
  let bytes = 0;
  const file = await open(to, 'w');
  try {
    for await (const chunk of response.body ?? []) {
      const piece = chunk as Uint8Array;
      hash.update(piece);
      bytes += piece.length;
      await file.writeFile(piece);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  if (bytes !== picture.bytes || hash.digest('hex') !== picture.sha256) {
    throw new CliError({
      kind: 'damaged_download',
      message: `Picture ${picture.index} arrived damaged: ${bytes} bytes of ${picture.bytes}, or another SHA-256.`,
      nextStep: `download it again from ${client.url}${picture.url}`,
      exitCode: EXIT.failed,
    });
  }
}

/** What is neither ours nor an answer is a connection that broke within the bytes. */
function told(client: ApiClient, error: unknown): unknown {
  const isTold = error instanceof ApiError || error instanceof CliError || isOwnDisk(error);
  return isTold ? error : new UnreachableError(client.url, error);
}

function cannotWrite(client: ApiClient, picture: ArtifactJson, path: string, error: unknown): CliError {
  return new CliError({
    kind: 'cannot_write',
    message: `Picture ${picture.index} cannot be saved as ${path}: ${(error as Error).message}.`,
    nextStep: `the server keeps it: see that it can be written, then download it from ${client.url}${picture.url}`,
    exitCode: EXIT.failed,
    cause: error,
  });
}

function isOwnDisk(error: unknown): boolean {
  return ['ENOSPC', 'EACCES', 'EROFS', 'EDQUOT', 'EIO', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '');
}
