import type { Command } from 'commander';

import { wholeNumber } from './arguments.js';
import type { CommandContext } from './command-context.js';
import type { ListOptions } from './jobs/jobs-actions.js';
import type { ServerOptions } from './with-server.js';
import { withServer } from './with-server.js';

const EXAMPLES = `
Examples:
  safelight jobs
  safelight jobs list --state queued,running --limit 100
  safelight jobs show 0199c1d2-7a3b-7c4d-8e5f-60718293a4b5
  safelight jobs debug 0199c1d2-7a3b-7c4d-8e5f-60718293a4b5
  safelight jobs cancel 0199c1d2-7a3b-7c4d-8e5f-60718293a4b5`;

export function addJobsCommand(program: Command, { terminal, finish }: CommandContext): void {
  const jobs = program
    .command('jobs')
    .description('look at the jobs of the running server, or cancel one')
    .addHelpText('after', EXAMPLES);
  const run = async (options: ServerOptions) => {
    const { JobsActions } = await import('./jobs/jobs-actions.js');
    return JobsActions.connect(terminal, options);
  };

  withServer(jobs.command('list', { isDefault: true }))
    .description('the newest jobs')
    .option('--state <names>', 'only jobs in these states, separated by commas')
    .option('--limit <n>', 'how many at most', wholeNumber(1, 200), 20)
    .action(async (options: ListOptions) => finish(await (await run(options)).list(options)));
  withServer(jobs.command('show'))
    .description('one job with its attempts')
    .argument('<id>', 'id of the job')
    .action(async (id: string, options: ServerOptions) => finish(await (await run(options)).show(id, options)));
  withServer(jobs.command('debug'))
    .description('all that is recorded of one job, with tracebacks: what to send with a report')
    .argument('<id>', 'id of the job')
    .action(async (id: string, options: ServerOptions) => finish(await (await run(options)).debug(id, options)));
  withServer(jobs.command('cancel'))
    .description('cancel a job that is not final yet')
    .argument('<id>', 'id of the job')
    .action(async (id: string, options: ServerOptions) => finish(await (await run(options)).cancel(id, options)));
}
