import type { Command } from 'commander';

import type { CommandContext } from './command-context.js';
import type { DoctorOptions } from './doctor/run-doctor.js';

const HELP = `
Each line is ok, warn or fail, with how to mend it. Exit code 0 when nothing fails, else 1.`;

export function addDoctorCommand(program: Command, { terminal, finish }: CommandContext): void {
  program
    .command('doctor')
    .description('look at this machine and its settings, and say what is wrong and how to mend it')
    .option('--config <file>', 'settings file')
    .option('--json', 'print the findings as JSON')
    .addHelpText('after', HELP)
    .action(async (options: DoctorOptions) => {
      const { runDoctor } = await import('./doctor/run-doctor.js');
      finish(await runDoctor(terminal, options));
    });
}
