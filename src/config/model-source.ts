import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

import type { Kind } from './kinds.js';
import { path } from './kinds.js';

/** `owner/name`, and `@` with a branch, tag or commit. */
const HUB_ID = /^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}(@[\w./-]+)?$/;
const FILE = /\.(safetensors|ckpt|bin|pt|pth|gguf)$/;

const ALLOWED =
  'the path of a folder in the diffusers layout or of a .safetensors file, or the id of a hub repository, owner/name or owner/name@revision';

/** Whether a source is no path but names a repository; paths are absolute by then. */
export function isHubId(source: string): boolean {
  return HUB_ID.test(source);
}

/**
 * Where a model lies. `owner/name` is a folder if there is one beside the file, else a repository; who means a folder that
 * may be missing writes `./owner/name`.
 */
export const modelSource: Kind<string> = {
  allowed: ALLOWED,
  fromText: String,
  read: (value, baseDir) => {
    const isId = typeof value === 'string' && isHubId(value) && !FILE.test(value);
    if (isId && !existsSync(resolve(baseDir, value))) return { ok: true, value };
    const reading = path(ALLOWED).read(value, baseDir);
    return reading.ok ? reading : { ok: false, complaints: [{ at: [], value, allowed: ALLOWED }] };
  },
};
