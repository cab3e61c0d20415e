import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { execa } from 'execa';

const CACHE = resolve('node_modules/.cache/safelight');
const BUILDER = resolve('python-worker/tests/support/tiny.py');

/**
 * Folder of a tiny StableDiffusionPipeline with random weights: real classes, real files, pictures of 64×64 that show
 * nothing. Made once per version of its builder and kept.
 */
export async function tinyModelDir(): Promise<string> {
  const version = createHash('sha256').update(readFileSync(BUILDER)).digest('hex').slice(0, 16);
  const folder = join(CACHE, `tiny-sd-${version}`);
  if (existsSync(folder)) return folder;
  const { mkdir } = await import('node:fs/promises');
  await mkdir(CACHE, { recursive: true });
  const fresh = await mkdtemp(join(CACHE, 'making-'));
  const python = resolve('python-worker/.venv/bin/python');
  await execa(python, ['-m', 'tests.support.tiny', 'sd', fresh], {
    cwd: 'python-worker',
    env: { HF_HUB_OFFLINE: '1' },
  });
  // Several test processes may make it at once: the first one's stays.
  await rename(fresh, folder).catch(() => rm(fresh, { recursive: true, force: true }));
  return folder;
}
