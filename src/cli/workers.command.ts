import type { Command } from 'commander';

import type { CommandContext } from './command-context.js';
import { withServer } from './with-server.js';
import type { ServerOptions } from './with-server.js';

const EXAMPLES = `
Examples:
  safelight workers
  safelight workers drain cuda-0
  safelight workers start cuda-0

A drained worker ends its jobs, or hands them on after the drain limit (shutdown.drain_ms); then its process ends and stays
away until it is started again.`;

export function addWorkersCommand(program: Command, { terminal, finish }: CommandContext): void {
  const workers = program
    .command('workers')
    .description('look at the workers of the running server, take work off one, or start it again')
    .addHelpText('after', EXAMPLES);
  const run = async (options: ServerOptions) => {
    const { WorkersActions } = await import('./workers/workers-actions.js');
    return WorkersActions.connect(terminal, options);
  };

  withServer(workers.command('list', { isDefault: true }))
    .description('all workers, those of other nodes too')
    .action(async (options: ServerOptions) => finish(await (await run(options)).list(options)));
  withServer(workers.command('drain'))
    .description('give a worker of this node no more work, then end it')
    .argument('<id>', 'id of the worker')
    .action(async (id: string, options: ServerOptions) => finish(await (await run(options)).drain(id, options)));
  withServer(workers.command('start'))
    .description('start a worker of this node that was drained')
    .argument('<id>', 'id of the worker')
    .action(async (id: string, options: ServerOptions) => finish(await (await run(options)).start(id, options)));
}
