import type { Command } from 'commander';

import type { CommandContext } from './command-context.js';
import type { ModelsOptions, PullOptions } from './models/models-actions.js';

const EXAMPLES = `
Examples:
  safelight models
  safelight models check sdxl
  safelight models pull stabilityai/stable-diffusion-xl-base-1.0 --variant fp16

Exit codes: 0 done, 1 a model has problems or could not be fetched, 2 bad arguments, 78 bad settings, 130 interrupted.`;

export function addModelsCommand(program: Command, { terminal, finish }: CommandContext): void {
  const models = program
    .command('models')
    .description('look at the models of the settings, or fetch one from a hub')
    .addHelpText('after', EXAMPLES);
  const run = async (options: ModelsOptions) => {
    const { ModelsActions } = await import('./models/models-actions.js');
    return ModelsActions.open(terminal, options);
  };

  withSettings(models.command('list', { isDefault: true }))
    .description('the models that are to be served, and whether they are there')
    .action(async (options: ModelsOptions) => finish(await (await run(options)).list(options)));
  withSettings(models.command('check'))
    .description('read the headers of all weights, and say what stands against loading them')
    .argument('[ids...]', 'ids of the models; all when none is given')
    .action(async (ids: string[], options: ModelsOptions) => finish(await (await run(options)).check(ids, options)));
  withSettings(models.command('pull'))
    .description('fetch models from a hub into its local cache; files that are there already are kept')
    .argument('<ids...>', 'ids of repositories, owner/name or owner/name@revision')
    .option('--variant <infix>', 'weight files to prefer, such as fp16')
    .action(async (ids: string[], options: PullOptions) => finish(await (await run(options)).pull(ids, options)));
}

function withSettings(command: Command): Command {
  return command.option('--config <file>', 'settings file').option('--json', 'print what was found as JSON lines');
}
