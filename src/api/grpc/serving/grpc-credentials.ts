import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';

import { ServerCredentials } from '@grpc/grpc-js';

import type { GrpcConfig } from '../../../config/grpc.config.js';

type Certificate = Pick<GrpcConfig, 'tlsCert' | 'tlsKey'>;

/** The certificate of the settings cannot be served with. */
export class GrpcCertificateError extends Error {
  constructor(cause: Error) {
    super(`The certificate or the key of gRPC cannot be used: ${cause.message}.`, { cause });
    this.name = 'GrpcCertificateError';
  }
}

/**
 * What the server shows its clients: the certificate of the settings, or nothing.
 *
 * @throws GrpcCertificateError
 */
export async function grpcCredentials({ tlsCert, tlsKey }: Certificate): Promise<ServerCredentials> {
  if (tlsCert === null || tlsKey === null) return ServerCredentials.createInsecure();
  try {
    const [cert, key] = await Promise.all([readFile(tlsCert), readFile(tlsKey)]);
    // grpc-js would notice when it listens, and say that there is no address.
    createSecureContext({ cert, key });
    return ServerCredentials.createSsl(null, [{ cert_chain: cert, private_key: key }]);
  } catch (error) {
    throw new GrpcCertificateError(error as Error);
  }
}
