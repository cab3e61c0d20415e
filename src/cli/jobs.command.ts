import { Option } from 'commander';
import type { Command } from 'commander';

import { serverUrl, wholeNumber } from './arguments.js';
import type { CommandContext } from './command-context.js';
import type { JobsOptions, ListOptions } from './jobs/jobs-actions.js';

const EXAMPLES = `
Examples:
  safelight jobs
  safelight jobs list --state queued,running --limit 100
  safelight jobs show 0199c1d2-7a3b-7c4d-8e5f-60718293a4b5
  safelight jobs cancel 0199c1d2-7a3b-7c4d-8e5f-60718293a4b5`;

export function addJobsCommand(program: Command, { terminal, finish }: CommandContext): void {
  const jobs = program
    .command('jobs')
    .description('look at the jobs of the running server, or cancel one')
    .addHelpText('after', EXAMPLES);
  const run = async (options: JobsOptions) => {
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
    .action(async (id: string, options: JobsOptions) => finish(await (await run(options)).show(id, options)));
  withServer(jobs.command('cancel'))
    .description('cancel a job that is not final yet')
    .argument('<id>', 'id of the job')
    .action(async (id: string, options: JobsOptions) => finish(await (await run(options)).cancel(id, options)));
}

function withServer(command: Command): Command {
  return command
    .addOption(new Option('--server <url>', 'server to ask').env('SAFELIGHT_SERVER').argParser(serverUrl))
    .option('--config <file>', 'settings file, which tells where the server keeps its data')
    .option('--json', 'print what the server answers');
}
