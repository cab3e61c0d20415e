import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of package.json, python-worker and docs: two above this file, in the sources as in the build. */
export const PACKAGE_ROOT = fileURLToPath(new URL('../../', import.meta.url)).replace(/\/$/, '');
export const WORKER_DIR = join(PACKAGE_ROOT, 'python-worker');
/** The interpreter that the set-up makes. */
export const DEFAULT_PYTHON = join(WORKER_DIR, '.venv', 'bin', 'python');

export function packageJson(): { readonly version: string; readonly engines: { readonly node: string } } {
  return JSON.parse(readFileSync(join(PACKAGE_ROOT, 'package.json'), 'utf8')) as ReturnType<typeof packageJson>;
}
