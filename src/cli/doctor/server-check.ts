import { createServer } from 'node:net';
import { once } from 'node:events';

import type { Settings } from '../../config/settings.js';
import { ApiClient } from '../client/api-client.js';
import { announcedServer } from '../client/find-server.js';
import type { WorkerJson } from '../client/wire.js';
import type { Finding } from './finding.js';
import { fail, ok, warn } from './finding.js';

const PROBE_MS = 2000;

/** Whether a server runs, how its workers are, and whether its port is free otherwise. */
export async function checkServer(settings: Settings): Promise<Finding[]> {
  const announced = await announcedServer(settings.storage.dataDir);
  if (announced !== null) {
    const client = new ApiClient(announced.url, announced.key);
    if (await client.isAlive(PROBE_MS)) return checkRunning(announced, client);
  }
  return [ok('server', 'none runs on this data folder'), await checkPort(settings)];
}

async function checkRunning(announced: { url: string; pid: number }, client: ApiClient): Promise<Finding[]> {
  try {
    return describeServer(announced, await client.workers(AbortSignal.timeout(PROBE_MS)));
  } catch (error) {
    const message = `${announced.url} is alive and does not tell of its workers: ${(error as Error).message}`;
    return [fail('server', message, `look into its log, or stop process ${announced.pid} and start it again`)];
  }
}

export function describeServer({ url, pid }: { url: string; pid: number }, workers: readonly WorkerJson[]): Finding[] {
  const findings = workers.map(({ id, state, reason }) => {
    const takesWork = state === 'ready' || state === 'busy';
    if (takesWork) return ok(`worker ${id}`, state);
    return warn(
      `worker ${id}`,
      `${state}${reason === null ? '' : `: ${reason}`}`,
      'wait if it is starting; else look into the log of the server',
    );
  });
  return [ok('server', `runs at ${url} as process ${pid}`), ...findings];
}

async function checkPort({ http: { host, port } }: Settings): Promise<Finding> {
  const address = `${host}:${port}`;
  if (port === 0) return ok('port', 'any free one');
  const code = await listenOnce(host, port);
  if (code === null) return ok('port', `${address} is free`);
  if (code !== 'EADDRINUSE')
    return fail('port', `${address} cannot be listened on (${code})`, 'choose another http.host or http.port');
  const isSafelight = await new ApiClient(`http://${host}:${port}`).workers(AbortSignal.timeout(PROBE_MS)).then(
    () => true,
    // Whatever it answered, it does not speak our API.
    () => false,
  );
  const whose = isSafelight ? 'a Safelight with another data folder' : 'another program';
  return fail('port', `${address} is taken by ${whose}`, 'stop it, or choose another http.port');
}

/** Listens for a moment; returns the error's code, null when it worked. */
async function listenOnce(host: string, port: number): Promise<string | null> {
  const server = createServer();
  try {
    server.listen({ host, port });
    await once(server, 'listening');
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    server.close();
  }
}
