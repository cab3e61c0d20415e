import { CliError } from '../cli-error.js';
import { commandSettings } from '../command-settings.js';
import { EXIT } from '../exit-code.js';
import type { Terminal } from '../terminal.js';
import type { ServerOptions } from '../with-server.js';
import type { ApiClient } from './api-client.js';
import { findServer } from './find-server.js';

/** The running server of the options. */
export async function connect(terminal: Terminal, options: ServerOptions): Promise<ApiClient> {
  const settings = commandSettings(terminal, options.config);
  const client = await findServer(options.server, settings);
  if (client !== null) return client;
  throw new CliError({
    kind: 'no_server',
    message: `No server runs on the data folder ${settings.storage.dataDir}.`,
    nextStep: 'start one with `safelight serve`, or name one with --server.',
    exitCode: EXIT.failed,
  });
}
