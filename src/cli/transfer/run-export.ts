import { resolve } from 'node:path';

import { commandSettings } from '../command-settings.js';
import type { ExitCode } from '../exit-code.js';
import { EXIT } from '../exit-code.js';
import { formatBytes } from '../format-duration.js';
import { Interruption } from '../interruption.js';
import type { Terminal } from '../terminal.js';
import { exportJobs } from './export-jobs.js';
import { TransferDisplay } from './transfer-display.js';
import { transferFailure } from './transfer-failure.js';
import type { TransferOptions } from './transfer-options.js';
import { overridesOf } from './transfer-options.js';

export type ExportOptions = TransferOptions;

/** Pictures that are named when they could not be copied. */
const NAMED = 5;

/** Copies the jobs of the data folder, and nothing of a shared database, to a folder. */
export async function runExport(terminal: Terminal, folder: string, options: ExportOptions): Promise<ExitCode> {
  const settings = commandSettings(terminal, options.config, overridesOf(options));
  const path = resolve(terminal.cwd, folder);
  using interruption = new Interruption();
  const { signal } = interruption;
  const display = new TransferDisplay(terminal, 'exporting');
  // What it takes to open databases and stores is not imported for a wrong setting.
  const { openExportSource } = await import('../../transfer-ends.js');
  try {
    await using source = await openExportSource(settings);
    const done = await exportJobs(source, path, { signal, onProgress: (progress) => display.show(progress) });
    display.close();
    if (done.left.length > 0) {
      const named = done.left.slice(0, NAMED).join(', ') + (done.left.length > NAMED ? ', …' : '');
      terminal.err(
        `Warning: pictures that were missing or damaged before are left out (${done.left.length}): ${named}`,
      );
    }
    terminal.out(`${done.jobs} jobs and ${done.files} files (${formatBytes(done.bytes)}) are in ${path}.`);
    return EXIT.done;
  } catch (error) {
    display.close();
    if (!signal.aborted) throw transferFailure(error, settings);
    terminal.err('Interrupted: the folder holds no export; the same command begins again.');
    return EXIT.interrupted;
  }
}
