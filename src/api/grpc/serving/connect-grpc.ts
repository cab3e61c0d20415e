import type { ServerOptions } from '@grpc/grpc-js';
import { setLogger } from '@grpc/grpc-js';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { Logger } from 'pino';

import { GrpcConfig } from '../../../config/grpc.config.js';
import { HttpConfig } from '../../../config/http.config.js';
import { LogConfig } from '../../../config/log.config.js';
import { Drains } from '../../../jobs/ports/drains.port.js';
import { WorkerInventory } from '../../../jobs/ports/worker-inventory.port.js';
import { LOG } from '../../../telemetry/log.js';
import { Tracing } from '../../../telemetry/tracing/tracing.js';
import { Authenticate } from '../../access/authenticate.js';
import { readinessView } from '../../rest/worker-view.js';
import { grpcCredentials } from './grpc-credentials.js';
import { GrpcServer } from './grpc-server.js';
import { Health } from './health.js';
import { incomingCalls } from './incoming-calls.js';
import { serviceDefinitions } from './service-definitions.js';

/** Calls one connection may have open at once; clients hold back more until others end. */
const MAX_STREAMS_PER_CONNECTION = 256;

/** Of all connections together: a watcher holds some kilobytes, and its place in lists that every event walks. */
const MAX_OPEN_CALLS = 10_000;

/** Health and reflection among them; balancers watch health with one call each. */
const MAX_OPEN_PROBES = 1_000;

/** As over HTTP. */
const REQUEST_TIMEOUT_MS = 60_000;

/** A peer that vanished without a word is found after both, in milliseconds, and its calls are over. */
const PING_EVERY_MS = 60_000;
const PING_TIMEOUT_MS = 20_000;

/** A connection without calls is closed after this time, in milliseconds; clients open another one when they need it. */
const MAX_IDLE_MS = 15 * 60_000;

/** gRPC beside the HTTP of an application. */
export interface GrpcEndpoint {
  /** Resolves with the port. Rejects with {@link GrpcListenError}. The application closes it. */
  listen(): Promise<number>;
}

/**
 * Connects gRPC to an application that was made with the GrpcModule; to be called before its `init`.
 *
 * @param port 0: any free one
 * @throws GrpcCertificateError
 */
export async function connectGrpc(app: NestExpressApplication, port: number): Promise<GrpcEndpoint> {
  const http = app.get(HttpConfig);
  const drains = app.get(Drains);
  const log = app.get<Logger>(LOG);
  tellToLog(log);
  const workers = app.get(WorkerInventory);
  const server = new GrpcServer({
    host: http.host,
    port,
    credentials: await grpcCredentials(app.get(GrpcConfig)),
    definitions: serviceDefinitions(http.bodyLimitBytes),
    health: new Health(() => readinessView(drains.nodeState(), workers.list()).ready),
    server: {
      'grpc.max_receive_message_length': http.maxBodyBytes,
      'grpc.max_concurrent_streams': MAX_STREAMS_PER_CONNECTION,
      'grpc.keepalive_time_ms': PING_EVERY_MS,
      'grpc.keepalive_timeout_ms': PING_TIMEOUT_MS,
      'grpc.max_connection_idle_ms': MAX_IDLE_MS,
      interceptors: [
        incomingCalls({
          authenticate: app.get(Authenticate),
          tracing: app.get(Tracing),
          log: app.get(LogConfig).requests ? log : null,
          maxOpenCalls: MAX_OPEN_CALLS,
          maxOpenProbes: MAX_OPEN_PROBES,
          requestTimeoutMs: REQUEST_TIMEOUT_MS,
        }),
      ],
    } satisfies ServerOptions,
  });
  const microservice = app.connectMicroservice({ strategy: server }, { inheritAppConfig: false });
  return {
    async listen() {
      await microservice.listen();
      return server.port;
    },
  };
}

/** grpc-js writes to the console of the process. What it says there comes as an error as well, to whoever made the call. */
function tellToLog(log: Logger): void {
  const tell = (message: unknown) => log.debug({ context: 'grpc-js' }, String(message));
  setLogger({ error: tell, info: tell, debug: tell });
}
