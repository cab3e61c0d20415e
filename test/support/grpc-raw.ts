import { once } from 'node:events';
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import { connect } from 'node:http2';

/** How a call ended, as it stands in the trailers. */
export interface RawEnd {
  readonly status: string;
  readonly message: string;
}

export interface RawOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** What is sent as one message; absent: none is, and the request stays open. */
  readonly message?: Uint8Array;
}

/** A client that keeps to nothing but HTTP/2, for what real clients never send. */
export class RawGrpc {
  private constructor(readonly session: ClientHttp2Session) {}

  /** `windowBytes`: what a stream may be sent before it is read. */
  static async connect(address: string, windowBytes = 65_535): Promise<RawGrpc> {
    const session = connect(`http://${address}`, { settings: { initialWindowSize: windowBytes } });
    await once(session, 'remoteSettings');
    // Told by its streams as well.
    session.on('error', () => undefined);
    return new RawGrpc(session);
  }

  open(path: string, { headers, message }: RawOptions = {}): ClientHttp2Stream {
    const stream = this.session.request(
      {
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      },
      { endStream: false },
    );
    stream.on('error', () => undefined);
    if (message !== undefined) stream.end(frame(message));
    return stream;
  }

  /** Makes a call and reads it to its end. */
  async call(path: string, options: RawOptions): Promise<RawEnd> {
    const stream = this.open(path, options);
    stream.resume();
    return rawEnd(stream);
  }

  close(): void {
    this.session.destroy();
  }
}

/** The end of a stream that is read; it may have come with the headers. */
export async function rawEnd(stream: ClientHttp2Stream): Promise<RawEnd> {
  const trailers = new Promise<IncomingHttpHeaders>((resolve, reject) => {
    stream.once('response', (headers: IncomingHttpHeaders) => {
      if (headers['grpc-status'] !== undefined) resolve(headers);
    });
    stream.once('trailers', resolve);
    stream.once('close', () => reject(new Error('the stream closed without a status')));
  });
  const { 'grpc-status': status, 'grpc-message': message } = await trailers;
  return { status: String(status), message: decodeURIComponent(String(message ?? '')) };
}

/** The five bytes of gRPC before a message, which is not compressed. */
export function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
