import { resolve } from 'node:path';

import { commandSettings } from '../command-settings.js';
import type { ExitCode } from '../exit-code.js';
import { EXIT } from '../exit-code.js';
import { formatBytes } from '../format-duration.js';
import { Interruption } from '../interruption.js';
import type { Terminal } from '../terminal.js';
import { importJobs } from './import-jobs.js';
import { TransferDisplay } from './transfer-display.js';
import { transferFailure } from './transfer-failure.js';
import type { TransferOptions } from './transfer-options.js';
import { overridesOf } from './transfer-options.js';

export type ImportOptions = TransferOptions;

/** Puts the jobs of an exported folder into the database and the store of artifacts that the settings name. */
export async function runImport(terminal: Terminal, folder: string, options: ImportOptions): Promise<ExitCode> {
  const settings = commandSettings(terminal, options.config, overridesOf(options));
  const path = resolve(terminal.cwd, folder);
  using interruption = new Interruption();
  const { signal } = interruption;
  const display = new TransferDisplay(terminal, 'importing');
  const { openImportTarget } = await import('../../transfer-ends.js');
  try {
    await using target = await openImportTarget(settings);
    const done = await importJobs(path, target, { signal, onProgress: (progress) => display.show(progress) });
    display.close();
    const skipped = done.skipped === 0 ? '' : ` ${done.skipped} jobs were there already and are left as they are.`;
    terminal.out(`${done.jobs} jobs and ${done.files} files (${formatBytes(done.bytes)}) were imported.${skipped}`);
    return EXIT.done;
  } catch (error) {
    display.close();
    if (!signal.aborted) throw transferFailure(error, settings);
    terminal.err('Interrupted: what was imported stays; the same command goes on.');
    return EXIT.interrupted;
  }
}
