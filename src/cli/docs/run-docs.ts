import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import type { ExitCode } from '../exit-code.js';
import { EXIT } from '../exit-code.js';
import type { Terminal } from '../terminal.js';
import type { ReferencePage } from './reference-pages.js';

/** Writes pages, or fails when one differs from what the code says. */
export async function runDocs(
  terminal: Pick<Terminal, 'out' | 'err'>,
  pages: readonly ReferencePage[],
  root: string,
  write: boolean,
): Promise<ExitCode> {
  let stale = 0;
  for (const { path, render } of pages) {
    const file = join(root, path);
    const wanted = render();
    if ((await currentText(file)) === wanted) {
      terminal.out(`${path} is up to date`);
    } else if (write) {
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, wanted);
      terminal.out(`${path} was written`);
    } else {
      stale += 1;
      terminal.err(`${path} is not up to date. Next: safelight docs --write`);
    }
  }
  return stale === 0 ? EXIT.done : EXIT.failed;
}

async function currentText(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
