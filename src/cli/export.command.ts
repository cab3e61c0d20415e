import type { Command } from 'commander';

import type { CommandContext } from './command-context.js';
import type { ExportOptions } from './transfer/run-export.js';

const HELP = `
The server of the data folder must be stopped. FOLDER gets jobs.ndjson and, below artifacts/, the
pictures, inputs and checkpoints of the jobs. The data folder stays as it is.

Examples:
  safelight export /backup/safelight
  DATABASE_URL=postgres://… safelight import /backup/safelight`;

export function addExportCommand(program: Command, { terminal, finish }: CommandContext): void {
  program
    .command('export')
    .description('copy the jobs of this machine, with their pictures, to a folder')
    .argument('<folder>', 'an empty folder, or one that is not there yet')
    .option('--config <file>', 'settings file')
    .option('--data-dir <folder>', 'where the jobs are kept (data_dir)')
    .addHelpText('after', HELP)
    .action(async (folder: string, options: ExportOptions) => {
      const { runExport } = await import('./transfer/run-export.js');
      finish(await runExport(terminal, folder, options));
    });
}
