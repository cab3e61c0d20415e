import { join } from 'node:path';

import type { Settings } from '../../config/settings.js';
import { startFailure } from '../start-failure.js';

/** A server inside this process, for one command. */
export interface LocalServer {
  readonly url: string;
  /** Opens everything on it. */
  readonly key: string;
  close(): Promise<void>;
}

/** Starts a server on a free port of the loopback; what it has to say goes to a file, the terminal belongs to the progress. */
export async function startLocalServer(settings: Settings): Promise<LocalServer> {
  // Imported here: the framework takes a third of a second that commands without a server need not spend.
  const { startServer } = await import('../../server.js');
  const { createLog } = await import('../../telemetry/log.js');
  const { GrpcConfig } = await import('../../config/grpc.config.js');
  const { HttpConfig } = await import('../../config/http.config.js');
  const file = logFileOf(settings);
  const { bodyLimitBytes, maxBodyBytes } = settings.http;
  try {
    const log = createLog(settings.log.level, file);
    return await startServer(
      {
        ...settings,
        node: await ownNode(settings),
        http: new HttpConfig({ host: '127.0.0.1', port: 0, bodyLimitBytes, maxBodyBytes }),
        grpc: new GrpcConfig({ enabled: false }),
      },
      { log },
    );
  } catch (error) {
    throw startFailure(error, settings);
  }
}

/** In a shared database a name of its own: under that of the machine it would take the place of the server there. */
async function ownNode({ database, node }: Settings): Promise<Settings['node']> {
  if (database.url === null) return node;
  const { NodeConfig } = await import('../../config/node.config.js');
  return new NodeConfig({ name: `${node.name.slice(0, 200)}.generate-${process.pid}` });
}

export function logFileOf(settings: Settings): string {
  return join(settings.storage.dataDir, 'logs', 'generate.log');
}
