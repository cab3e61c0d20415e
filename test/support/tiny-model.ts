import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { execa } from 'execa';

const CACHE = resolve('node_modules/.cache/safelight');
/** Modules of python-worker that build pipelines: of the four families, and others. */
const BUILDERS = ['tiny', 'tiny_other'] as const;
const WRITE =
  'import sys; from pathlib import Path; from tests.support.$ import write; write(sys.argv[1], Path(sys.argv[2]))';

export const TINY_FAMILIES = ['sd', 'sdxl', 'sd3', 'flux'] as const;
export type TinyFamily = (typeof TINY_FAMILIES)[number];

/**
 * Folder of a tiny pipeline with random weights: real classes, real files, pictures of 64×64 that show nothing. `wan` makes
 * videos. Made once per version of its builder and kept.
 */
export async function tinyModelDir(name: TinyFamily | 'wan' = 'sd'): Promise<string> {
  const version = createHash('sha256');
  for (const builder of BUILDERS) version.update(readFileSync(`python-worker/tests/support/${builder}.py`));
  const folder = join(CACHE, `tiny-${name}-${version.digest('hex').slice(0, 16)}`);
  if (existsSync(folder)) return folder;
  await mkdir(CACHE, { recursive: true });
  const fresh = await mkdtemp(join(CACHE, 'making-'));
  const script = WRITE.replace('$', name === 'wan' ? 'tiny_other' : 'tiny');
  await execa(resolve('python-worker/.venv/bin/python'), ['-c', script, name, fresh], {
    cwd: 'python-worker',
    env: { HF_HUB_OFFLINE: '1' },
  });
  // Several test processes may make it at once: the first one's stays.
  await rename(fresh, folder).catch(() => rm(fresh, { recursive: true, force: true }));
  return folder;
}
