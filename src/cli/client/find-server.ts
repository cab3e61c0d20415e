import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Settings } from '../../config/settings.js';
import { ApiClient } from './api-client.js';
import { UnreachableError } from './connect-error.js';

/** A server on this machine answers in milliseconds; one that does not within this is not there, or of no use. */
const PROBE_MS = 1500;
/** One that was named may be far away. */
const REMOTE_PROBE_MS = 10_000;

/** The key for a server that was named. An option would show it to everybody who lists processes. */
export const API_KEY_VARIABLE = 'SAFELIGHT_API_KEY';

export function namedServer(url: string, env: NodeJS.ProcessEnv = process.env): ApiClient {
  return new ApiClient(url, env[API_KEY_VARIABLE] || null);
}

/** The server to talk to: the one that was named, else the one that serves the data folder. Null: there is none. */
export async function findServer(named: string | undefined, settings: Settings): Promise<ApiClient | null> {
  if (named !== undefined) {
    const client = namedServer(named);
    if (await client.isAlive(REMOTE_PROBE_MS)) return client;
    throw new UnreachableError(named, new Error('GET /health/live was not answered with 200'));
  }
  const announced = await announcedServer(settings.storage.dataDir);
  // Another folder's server may have taken the port of one that was killed.
  if (announced === null || !isRunning(announced.pid)) return null;
  const client = new ApiClient(announced.url, announced.key);
  return (await client.isAlive(PROBE_MS)) ? client : null;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

export interface AnnouncedServer {
  readonly url: string;
  readonly pid: number;
  /** Opens everything on it; null: it needs none. */
  readonly key: string | null;
}

/** What the server of a data folder wrote about itself. It may be left over: only asking the address tells. */
export async function announcedServer(dataDir: string): Promise<AnnouncedServer | null> {
  let text: string;
  try {
    text = await readFile(join(dataDir, 'server.json'), 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
  try {
    const { url, pid, key } = JSON.parse(text) as { url?: unknown; pid?: unknown; key?: unknown };
    const isWhole = typeof url === 'string' && URL.canParse(url) && typeof pid === 'number';
    return isWhole ? { url, pid, key: typeof key === 'string' ? key : null } : null;
  } catch (error) {
    // Half a file is what a full disk leaves behind: as good as none.
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}
