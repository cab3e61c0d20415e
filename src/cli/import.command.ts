import type { Command } from 'commander';

import type { CommandContext } from './command-context.js';
import type { ImportOptions } from './transfer/run-import.js';

const HELP = `
The jobs go to the database of the settings: PostgreSQL with DATABASE_URL, where servers may run meanwhile; else that of the
data folder, whose server must be stopped. Jobs that are there already are left as they are, so an import that was interrupted
is simply run again. Jobs that were running begin again, or go on from their checkpoint.

Examples:
  DATABASE_URL=postgres://… safelight import /backup/safelight
  safelight import /backup/safelight --data-dir ./data`;

export function addImportCommand(program: Command, { terminal, finish }: CommandContext): void {
  program
    .command('import')
    .description('put the jobs of an exported folder into the database of the settings')
    .argument('<folder>', 'what `safelight export` wrote')
    .option('--config <file>', 'settings file')
    .option('--data-dir <folder>', 'where the jobs are kept without DATABASE_URL (data_dir)')
    .addHelpText('after', HELP)
    .action(async (folder: string, options: ImportOptions) => {
      const { runImport } = await import('./transfer/run-import.js');
      finish(await runImport(terminal, folder, options));
    });
}
