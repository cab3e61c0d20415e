import { Command, CommanderError } from 'commander';

import { ConfigError } from '../config/config-error.js';
import { VERSION } from '../telemetry/version.js';
import { CliError } from './cli-error.js';
import { ApiError } from './client/api-error.js';
import { addDocsCommand } from './docs.command.js';
import { addDoctorCommand } from './doctor.command.js';
import type { ExitCode } from './exit-code.js';
import { EXIT } from './exit-code.js';
import { addExportCommand } from './export.command.js';
import { addGenerateCommand } from './generate.command.js';
import { addImportCommand } from './import.command.js';
import { addJobsCommand } from './jobs.command.js';
import { addKeysCommand } from './keys.command.js';
import { addModelsCommand } from './models.command.js';
import { addServeCommand } from './serve.command.js';
import type { Terminal } from './terminal.js';
import { addWorkersCommand } from './workers.command.js';

const HELP = `
Examples:
  safelight generate "a small red circle left of a blue star on a white background"
  safelight serve
  safelight doctor

Settings: safelight.yaml and the environment, see docs/configuration.md.`;

/** Runs one command; returns what to tell the shell. `argv` begins with the command. */
export async function runProgram(argv: readonly string[], terminal: Terminal): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.done;
  const context = { terminal, finish: (code: ExitCode) => void (exitCode = code) };
  const program = new Command('safelight')
    .description('Turns prompts into pictures on GPUs and does not drop them.')
    .version(VERSION, '--version', 'print the version')
    .addHelpText('after', HELP)
    .showHelpAfterError('(--help shows what there is)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      writeErr: (text) => terminal.err(text.trimEnd()),
    });
  for (const add of [
    addGenerateCommand,
    addServeCommand,
    addJobsCommand,
    addWorkersCommand,
    addModelsCommand,
    addKeysCommand,
    addDoctorCommand,
    addExportCommand,
    addImportCommand,
    addDocsCommand,
  ])
    add(program, context);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    return report(error, terminal);
  }
}

function report(error: unknown, terminal: Terminal): ExitCode {
  // Commander has said what it had to say; its exit codes are 0 for help and 1 for what was mistyped.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  if (error instanceof ConfigError) {
    terminal.err(error.message);
    return EXIT.config;
  }
  const known = error instanceof ApiError ? error.toCliError() : error;
  if (known instanceof CliError) {
    terminal.err(`${known.message}\nNext: ${known.nextStep}`);
    return known.exitCode;
  }
  // A defect: who reports it needs the place.
  terminal.err(
    `Something went wrong inside Safelight.\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
  );
  return EXIT.failed;
}
