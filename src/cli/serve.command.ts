import type { Command } from 'commander';

import type { CommandContext } from './command-context.js';
import type { ServeOptions } from './serve/run-serve.js';

const EXAMPLES = `
Examples:
  safelight serve
  safelight serve --port 0 --data-dir ./data
  safelight serve --config /etc/safelight.yaml 2> safelight.log

Logs go to stderr: JSON lines, or plain ones on a terminal. Ctrl-C or SIGTERM stops it: running jobs may finish, what is left stays queued; a second
one ends it at once.`;

export function addServeCommand(program: Command, { terminal, finish }: CommandContext): void {
  program
    .command('serve')
    .description('run the server until it is told to stop')
    .option('--config <file>', 'settings file')
    .option('--host <address>', 'address to listen on (http.host)')
    .option('--port <number>', 'port to listen on (http.port); 0 takes a free one')
    .option('--data-dir <folder>', 'where jobs and pictures are kept (data_dir)')
    .addHelpText('after', EXAMPLES)
    .action(async (options: ServeOptions) => {
      const { runServe } = await import('./serve/run-serve.js');
      finish(await runServe(terminal, options));
    });
}
