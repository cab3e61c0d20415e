import { configArea } from './config-area.js';
import { flag, integer, orNull, path } from './kinds.js';
import { given } from './setting.js';

const HIGHEST_PORT = 65_535;

export class GrpcConfig extends configArea({
  section: 'grpc',
  title: 'gRPC',
  about:
    'Where the gRPC API `safelight.v1` listens: at the address of `http.host`. Keys are those of HTTP, and so is `http.max_body_bytes`, the bound of a submission.',
  fields: {
    enabled: given(flag(), true, 'Whether the gRPC API is served.'),
    port: given(
      orNull(integer({ min: 0, max: HIGHEST_PORT })),
      null,
      'TCP port to listen on; 0 takes any free one. Null takes the one after `http.port`, which is 8721, or any free one where `http.port` is 0.',
    ),
    tlsCert: given(
      orNull(path('a file with the certificate chain, PEM')),
      null,
      'Certificate chain to serve TLS with. Null: plain HTTP/2, as for a server on loopback or behind a proxy.',
    ),
    tlsKey: given(orNull(path('a file with the private key, PEM')), null, 'Private key of that certificate.'),
  },
  rules: [
    {
      field: 'tlsKey',
      holds: ({ tlsCert, tlsKey }) => (tlsCert === null) === (tlsKey === null),
      allowed: 'a file when grpc.tls_cert is one, else null',
    },
  ],
}) {}

/** The port gRPC listens on beside HTTP; 0: any free one. */
export function grpcPort({ port }: Pick<GrpcConfig, 'port'>, httpPort: number): number {
  if (port !== null) return port;
  if (httpPort === 0) return 0;
  return httpPort < HIGHEST_PORT ? httpPort + 1 : httpPort - 1;
}
