import { setTimeout as delay } from 'node:timers/promises';

import type { Settings } from '../../config/settings.js';
import { ApiClient } from '../client/api-client.js';
import { findServer } from '../client/find-server.js';
import { isDataFolderInUse } from '../start-failure.js';
import { startLocalServer } from './local-server.js';

/** A server to talk to, and how to leave it. */
export interface ObtainedServer {
  readonly client: ApiClient;
  /** Whether it lives in this process. */
  readonly isOwn: boolean;
  /** Ends the server if it is our own. */
  leave(): Promise<void>;
}

/** How long a server that holds the data folder may take until it listens. */
const LISTEN_WITHIN_MS = 20_000;
const POLL_MS = 250;

/** The running server, or one started for this command. `onStart` is told when the latter begins. */
export async function obtainServer(
  named: string | undefined,
  settings: Settings,
  onStart: () => void,
): Promise<ObtainedServer> {
  const client = await findServer(named, settings);
  if (client !== null) return shared(client);
  onStart();
  try {
    const server = await startLocalServer(settings);
    return { client: new ApiClient(server.url, server.key), isOwn: true, leave: () => server.close() };
  } catch (error) {
    // Two commands at once: the other one's server holds the folder and will listen in a moment.
    if (!isDataFolderInUse(error)) throw error;
    const other = await awaitServer(settings);
    if (other === null) throw error;
    return shared(other);
  }
}

function shared(client: ApiClient): ObtainedServer {
  return { client, isOwn: false, leave: () => Promise.resolve() };
}

async function awaitServer(settings: Settings): Promise<ApiClient | null> {
  const deadline = Date.now() + LISTEN_WITHIN_MS;
  while (Date.now() < deadline) {
    const client = await findServer(undefined, settings);
    if (client !== null) return client;
    await delay(POLL_MS);
  }
  return null;
}
