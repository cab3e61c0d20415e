import { randomUUID } from 'node:crypto';

import type { Settings } from '../../config/settings.js';
import { awaitReturn } from '../client/await-return.js';
import { namedServer } from '../client/find-server.js';
import type { ExitCode } from '../exit-code.js';
import { Interruption } from '../interruption.js';
import type { Terminal } from '../terminal.js';
import { chooseDestination, chooseFormat } from './destination.js';
import type { PictureFormat } from './file-names.js';
import { Generation } from './generation.js';
import type { PictureFileOptions } from './input-pictures.js';
import { readInputPictures } from './input-pictures.js';
import { isServerLost, serverStaysAway } from './server-lost.js';
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

/** Servers of the data folder a command may lose before it gives up. */
const SERVERS = 3;

/** How long a server that was named may be away: a machine that is started again is back by then. */
const AWAY_LIMIT_MS = 5 * 60_000;

/**
 * From a prompt to a file. Talks HTTP to a running server or to one of its own, in the same way. When the server of the
 * data folder goes away, another one, or our own, goes on with the job: the folder holds it. One that was named is waited
 * for.
 */
export async function runGenerate(
  terminal: Terminal,
  settings: Settings,
  prompt: string,
  options: GenerateOptions,
  awayLimitMs = AWAY_LIMIT_MS,
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
    server: options.server ?? null,
    awayLimitMs,
  });
  const runOnce = async () => {
    const server = await obtainServer(options.server, settings, () => display.show({ stage: 'starting_server' }));
    try {
      return await generation.runOn(server.client, server);
    } finally {
      if (server.isOwn) display.show({ stage: 'stopping_server' });
      await server.leave();
    }
  };
  try {
    for (let lost = 1; ; lost += 1) {
      try {
        return await runOnce();
      } catch (error) {
        const isNamed = options.server !== undefined;
        // A server that never answered is a wrong address more often than one that is about to come back.
        const mayGoOn = isNamed ? generation.contactAt !== null : lost < SERVERS;
        if (!isServerLost(error) || signal.aborted || !mayGoOn) throw error;
        if (!isNamed) continue;
        const client = namedServer(options.server);
        display.show({ stage: 'reconnecting', url: client.url, limitMs: awayLimitMs });
        const deadline = (generation.contactAt ?? 0) + awayLimitMs;
        if (await awaitReturn(client, deadline, signal)) continue;
        if (signal.aborted) return await generation.interrupted(client, error);
        throw serverStaysAway(client.url, generation.jobId, awayLimitMs, error);
      }
    }
  } finally {
    display.close();
  }
}
