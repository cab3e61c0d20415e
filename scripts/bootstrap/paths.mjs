// Where things lie in the repository.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
export const nodeModules = join(root, 'node_modules');
export const nodeBin = join(nodeModules, '.bin');
export const pythonWorker = join(root, 'python-worker');
export const venv = join(pythonWorker, '.venv');
export const venvPython = join(venv, 'bin', 'python');
/** Git-ignored: the lock and the logs of bootstrap. */
export const state = join(root, '.safelight');

/** PATH with our own tools first, so that their `#!/usr/bin/env node` finds the Node of this project. */
export const toolPath = () => `${nodeBin}:${process.env['PATH'] ?? ''}`;
