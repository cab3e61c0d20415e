import { Server } from '@grpc/grpc-js';
import type { ServerCredentials, ServerOptions } from '@grpc/grpc-js';
import type { PackageDefinition } from '@grpc/proto-loader';
import { ServerGrpc } from '@nestjs/microservices';

import type { Health } from './health.js';
import { addReflection } from './reflection.js';

export interface GrpcServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly credentials: ServerCredentials;
  readonly definitions: PackageDefinition;
  readonly server: ServerOptions;
  readonly health: Health;
}

/** The address of gRPC cannot be listened on. The name and `code` tell it apart from those of HTTP. */
export class GrpcListenError extends Error {
  constructor(
    readonly host: string,
    readonly port: number,
    /** As the system calls it, such as EADDRINUSE. */
    readonly code: string,
    cause: Error,
  ) {
    super(`gRPC cannot listen on ${host}:${port}: ${code}`, { cause });
    this.name = 'GrpcListenError';
  }
}

/** Calls that are still open when the server closes get this long, in milliseconds, to end by themselves. */
const CLOSE_WITHIN_MS = 1_000;

/** Nest's gRPC server, which says where it listens, with health and reflection, and closes within a bounded time. */
export class GrpcServer extends ServerGrpc {
  private listening: { server: Server; port: number } | null = null;

  constructor(private readonly own: GrpcServerOptions) {
    super({ package: 'safelight.v1', packageDefinition: own.definitions, gracefulShutdown: true });
  }

  /** Where clients on this machine find it. */
  get port(): number {
    if (this.listening === null) throw new Error('gRPC does not listen');
    return this.listening.port;
  }

  /** @throws GrpcListenError */
  override async createClient(): Promise<Server> {
    const { host, port, credentials, health } = this.own;
    const server = new Server(this.own.server);
    this.listening = { server, port: await bind(server, { host, port }, credentials) };
    health.addTo(server);
    addReflection(server);
    return server;
  }

  override async close(): Promise<void> {
    this.own.health.stop();
    // A client that does not read, or that watches health, holds its connection for as long as it likes.
    const limit = setTimeout(() => this.listening?.server.forceShutdown(), CLOSE_WITHIN_MS);
    try {
      await super.close();
    } finally {
      clearTimeout(limit);
    }
  }
}

function bind(
  server: Server,
  { host, port }: { host: string; port: number },
  credentials: ServerCredentials,
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  server.bindAsync(address, credentials, (error, bound) => {
    if (error === null) resolve(bound);
    // grpc-js keeps nothing of the system's error but its text.
    else reject(new GrpcListenError(host, port, /\bE[A-Z]{3,}\b/.exec(error.message)?.[0] ?? error.message, error));
  });
  return promise;
}
