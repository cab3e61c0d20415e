import { Option } from 'commander';
import type { Command } from 'commander';

import { serverUrl } from './arguments.js';

/** Options of commands that ask a running server. */
export interface ServerOptions {
  readonly server?: string;
  readonly config?: string;
  readonly json?: true;
}

export function withServer(command: Command): Command {
  return command
    .addOption(new Option('--server <url>', 'server to ask').env('SAFELIGHT_SERVER').argParser(serverUrl))
    .option('--config <file>', 'settings file, which tells where the server keeps its data')
    .option('--json', 'print what the server answers');
}
