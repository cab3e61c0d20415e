import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';

import { CliError } from '../cli-error.js';
import { EXIT } from '../exit-code.js';

/** What the server takes at most; a file beyond it is not read. */
const MAX_BYTES = 20 * 1024 * 1024;

/** Options of `safelight generate` that name picture files. */
export interface PictureFileOptions {
  readonly initImage?: string;
  readonly maskImage?: string;
  readonly control?: readonly { readonly id: string; readonly file: string; readonly scale?: number }[];
}

/** Their contents as the body of POST /v1/jobs has them; a file that was not named is left out. */
export interface PictureFields {
  readonly init_image?: string | undefined;
  readonly mask_image?: string | undefined;
  readonly controls?: readonly { id: string; image: string; scale?: number | undefined }[] | undefined;
}

/** Reads the files, before a server is asked for anything. */
export async function readInputPictures(
  { initImage, maskImage, control }: PictureFileOptions,
  cwd: string,
): Promise<PictureFields> {
  const base64 = (file: string | undefined) => (file === undefined ? undefined : readBase64(resolve(cwd, file)));
  return {
    init_image: await base64(initImage),
    mask_image: await base64(maskImage),
    controls:
      control &&
      (await Promise.all(
        control.map(async ({ id, file, scale }) => ({ id, image: await readBase64(resolve(cwd, file)), scale })),
      )),
  };
}

async function readBase64(path: string): Promise<string> {
  let bytes: number;
  try {
    ({ size: bytes } = await stat(path));
    if (bytes <= MAX_BYTES) return await readFile(path, 'base64');
  } catch (error) {
    const { message } = error as NodeJS.ErrnoException;
    throw unreadable(`The picture ${path} cannot be read: ${message}.`, 'name a file that can be read.', error);
  }
  throw unreadable(
    `The picture ${path} has ${bytes} bytes; a server takes at most ${MAX_BYTES}.`,
    'make it smaller, or save it as JPEG or WebP.',
  );
}

function unreadable(message: string, nextStep: string, cause?: unknown): CliError {
  return new CliError({ kind: 'cannot_read', message, nextStep, exitCode: EXIT.usage, cause });
}
