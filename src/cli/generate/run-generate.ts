import { randomUUID } from 'node:crypto';

import type { Settings } from '../../config/settings.js';
import type { ExitCode } from '../exit-code.js';
import { Interruption } from '../interruption.js';
import type { Terminal } from '../terminal.js';
import { chooseDestination, chooseFormat } from './destination.js';
import type { PictureFormat } from './file-names.js';
import { Generation } from './generation.js';
import type { PictureFileOptions } from './input-pictures.js';
import { readInputPictures } from './input-pictures.js';
import { isServerLost } from './server-lost.js';
import { obtainServer } from './obtain-server.js';
import { progressDisplay } from './progress-display.js';
import type { PictureOptions } from './request-body.js';
import { requestBody } from './request-body.js';

export interface GenerateOptions extends PictureOptions, PictureFileOptions {
  readonly out?: string;
  readonly format?: PictureFormat;
  readonly server?: string;
  readonly json?: true;
}

/** Servers a command may lose before it gives up. */
const SERVERS = 3;

/**
 * From a prompt to a file. Talks HTTP to a running server or to one of its own, in the same way. When the server of the
 * data folder goes away, another one, or our own, goes on with the job: the folder holds it.
 */
export async function runGenerate(
  terminal: Terminal,
  settings: Settings,
  prompt: string,
  options: GenerateOptions,
): Promise<ExitCode> {
  const destination = await chooseDestination(options.out, terminal.cwd);
  const format = chooseFormat(options.format, destination);
  const pictures = await readInputPictures(options, terminal.cwd);
  const body = requestBody(prompt, options, pictures, format);
  const display = progressDisplay(terminal);
  using interruption = new Interruption();
  const { signal } = interruption;
  const generation = new Generation({
    terminal,
    display,
    destination,
    body,
    key: randomUUID(),
    json: options.json ?? false,
    signal,
  });
  try {
    for (let lost = 0; ; lost += 1) {
      const server = await obtainServer(options.server, settings, () => display.show({ stage: 'starting_server' }));
      try {
        return await generation.runOn(server.client, { isNamed: options.server !== undefined, isOwn: server.isOwn });
      } catch (error) {
        const mayGoOn = options.server === undefined && !signal.aborted && lost + 1 < SERVERS;
        if (!mayGoOn || !isServerLost(error)) throw error;
      } finally {
        if (server.isOwn) display.show({ stage: 'stopping_server' });
        await server.leave();
      }
    }
  } finally {
    display.close();
  }
}
