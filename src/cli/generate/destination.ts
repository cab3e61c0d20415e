import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { CliError } from '../cli-error.js';
import { EXIT } from '../exit-code.js';
import type { ArtifactJson } from '../client/wire.js';
import type { PictureFormat } from './file-names.js';
import { extensionOf, formatOfName, indexed, numbered, stemOf } from './file-names.js';

/** Where the pictures go. */
export type Destination =
  /** This very file, replaced if it is there: it was asked for by name. */
  | { readonly kind: 'file'; readonly path: string }
  /** A name made from the prompt that is still free in this folder. */
  | { readonly kind: 'folder'; readonly path: string };

/** Checked before anything is computed: a picture that cannot be saved afterwards is time lost. */
export async function chooseDestination(out: string | undefined, cwd: string): Promise<Destination> {
  const path = resolve(cwd, out ?? '.');
  const isFolder = out === undefined || (await isDirectory(path));
  const folder = isFolder ? path : dirname(path);
  if (!(await isDirectory(folder))) {
    throw cannotWrite(`There is no folder ${folder}.`, 'make it, or give --out another place.');
  }
  try {
    await access(folder, constants.W_OK);
  } catch (error) {
    throw cannotWrite(`The folder ${folder} cannot be written.`, 'give --out a place that can.', error);
  }
  return { kind: isFolder ? 'folder' : 'file', path };
}

/** The format to ask for: what was named, else what the file name promises, else the server's default. */
export function chooseFormat(format: PictureFormat | undefined, destination: Destination): PictureFormat | undefined {
  if (destination.kind === 'folder') return format;
  const promised = formatOfName(destination.path);
  if (promised === undefined) {
    throw cannotWrite(
      `${destination.path} has the extension of no picture or video format.`,
      'end the name of --out in .png, .webp, .jpg or .mp4.',
    );
  }
  if (format !== undefined && promised !== null && format !== promised) {
    throw cannotWrite(
      `${destination.path} is the name of a ${promised} file, but --format is ${format}.`,
      'change one of the two.',
    );
  }
  return format ?? promised ?? undefined;
}

/** Candidate paths of a picture, best first; `replace` says whether the first may be there already. */
export function* candidates(
  destination: Destination,
  picture: ArtifactJson,
  job: { prompt: string; seed: string; count: number },
) {
  if (destination.kind === 'file') {
    yield { path: indexed(destination.path, picture.index, job.count), replace: true };
    return;
  }
  const stem = stemOf(job.prompt, job.seed, picture.index, job.count);
  for (let number = 1; ; number += 1) {
    yield { path: join(destination.path, numbered(stem, extensionOf(picture.media_type), number)), replace: false };
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw error;
  }
}

function cannotWrite(message: string, nextStep: string, cause?: unknown): CliError {
  return new CliError({ kind: 'cannot_write', message, nextStep, exitCode: EXIT.usage, cause });
}
