import { once } from 'node:events';

import type { Override } from '../../config/settings.js';
import { commandSettings } from '../command-settings.js';
import type { ExitCode } from '../exit-code.js';
import { EXIT } from '../exit-code.js';
import { formatDuration } from '../format-duration.js';
import { Interruption } from '../interruption.js';
import { startFailure } from '../start-failure.js';
import type { Terminal } from '../terminal.js';

export interface ServeOptions {
  readonly config?: string;
  readonly host?: string;
  readonly port?: string;
  readonly dataDir?: string;
}

/** Runs a server until a signal asks it to stop, or it cannot go on. */
export async function runServe(terminal: Terminal, options: ServeOptions): Promise<ExitCode> {
  const settings = commandSettings(terminal, options.config, overridesOf(options));
  using interruption = new Interruption();
  const { signal } = interruption;
  // The framework takes a third of a second to import: a wrong setting is told before.
  const { startServer } = await import('../../server.js');
  const { humanLog } = await import('./human-log.js');
  const isWatched = terminal.columns() !== null;
  const overrides = isWatched ? { log: humanLog(settings.log.level, (line) => terminal.err(line)) } : {};
  const server = await startServer(settings, overrides).catch((error: unknown) => {
    throw startFailure(error, settings);
  });
  const grpc = server.grpcAddress === null ? '' : `; gRPC: ${server.grpcAddress}`;
  terminal.out(`Safelight listens at ${server.url} (API reference: ${server.url}/docs${grpc}). Stop it with Ctrl-C.`);
  const asked = signal.aborted ? Promise.resolve() : once(signal, 'abort');
  const ended = await Promise.race([server.ended, asked]);
  if (ended instanceof Error) {
    terminal.err(`The server stopped: ${ended.message}. Accepted jobs are unharmed.`);
    terminal.err('Next: give every server a name of its own (node_name), and start this one again.');
    return EXIT.failed;
  }
  const { drainMs } = settings.shutdown;
  terminal.out(`Stopping: running jobs get up to ${formatDuration(drainMs)}. A second Ctrl-C ends it at once.`);
  await server.close();
  terminal.out('Stopped.');
  return EXIT.done;
}

function overridesOf({ host, port, dataDir }: ServeOptions): Override[] {
  const given: [string, string, string | undefined][] = [
    ['http.host', '--host', host],
    ['http.port', '--port', port],
    ['data_dir', '--data-dir', dataDir],
  ];
  return given.flatMap(([setting, option, text]) => (text === undefined ? [] : [{ setting, option, text }]));
}
