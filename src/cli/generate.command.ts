import { Option } from 'commander';
import type { Command } from 'commander';

import { controls, decimalNumber, loras, seed, serverUrl, size, wholeNumber } from './arguments.js';
import type { CommandContext } from './command-context.js';
import type { GenerateOptions } from './generate/run-generate.js';

const EXAMPLES = `
Examples:
  safelight generate "a small red circle left of a blue star on a white background"
  safelight generate "a lighthouse at dawn" --size 512x768 --steps 30 --seed 7 --out lighthouse.png
  safelight generate "a cat" --images 4 --json > job.json
  safelight generate "the same house in winter" --init-image house.png --strength 0.6

Prints seed and timings, and the path of the picture last. Uses a running server if there is one, else starts one for as
long as it takes. Exit codes: 0 done, 1 failed, 2 bad arguments, 78 bad settings, 130 interrupted (the job is cancelled).`;

export function addGenerateCommand(program: Command, { terminal, finish }: CommandContext): void {
  program
    .command('generate')
    .description('make a picture from a prompt and save it')
    .argument('<prompt>', 'what the picture shows')
    .option('-o, --out <file>', 'file or folder to save to (default: a name made from prompt and seed)')
    .option('--seed <n>', 'the same seed gives the same picture (default: drawn, and told)', seed)
    .option('--steps <n>', 'denoising steps', wholeNumber(1))
    .option('--size <WxH>', 'width and height in pixels', size)
    .option('--model <id>', 'model to use')
    .option('--negative <text>', 'what the picture should not show')
    .option('--guidance <x>', 'how strictly to follow the prompt', decimalNumber)
    .option('--scheduler <name>', 'noise scheduler, such as EulerDiscreteScheduler')
    .option('--images <n>', 'number of pictures; picture i has seed + i', wholeNumber(1))
    .option('--init-image <file>', 'picture to start from')
    .option('--mask-image <file>', 'white is painted anew; with --init-image')
    .option('--strength <x>', 'how far to leave --init-image, above 0 to 1 (default: 0.8)', decimalNumber)
    .option('--lora <id[:weight]>', 'LoRA of the model; can be given again', loras)
    .option('--control <id:file[:scale]>', 'ControlNet and the picture it follows; can be given again', controls)
    .addOption(new Option('--format <name>', 'file format').choices(['png', 'webp', 'jpeg', 'mp4']))
    .addOption(new Option('--priority <name>', 'place in the queue').choices(['low', 'normal', 'high', 'urgent']))
    .addOption(new Option('--server <url>', 'server to use').env('SAFELIGHT_SERVER').argParser(serverUrl))
    .option('--json', 'print the job as JSON, and nothing else, on stdout')
    .option('--config <file>', 'settings file')
    .addHelpText('after', EXAMPLES)
    .action(async (prompt: string, options: GenerateOptions & { config?: string }) => {
      const { commandSettings } = await import('./command-settings.js');
      const { runGenerate } = await import('./generate/run-generate.js');
      finish(await runGenerate(terminal, commandSettings(terminal, options.config), prompt, options));
    });
}
