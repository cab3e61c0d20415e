import type { Metadata, ServerUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import type { Observable } from 'rxjs';

interface Method {
  readonly responseStream: boolean;
  readonly requestDeserialize: (bytes: Buffer) => unknown;
  readonly responseDeserialize: (bytes: Buffer) => unknown;
}

type RequestOf<M extends Method> = ReturnType<M['requestDeserialize']>;
type ResponseOf<M extends Method> = ReturnType<M['responseDeserialize']>;

/** A method as Nest calls it. The messages of a stream are written by {@link Calls}, so that its observable only ends. */
type Handler<M extends Method> = M['responseStream'] extends true
  ? (
      request: RequestOf<M>,
      metadata: Metadata,
      call: ServerWritableStream<RequestOf<M>, ResponseOf<M>>,
    ) => Observable<never>
  : (
      request: RequestOf<M>,
      metadata: Metadata,
      call: ServerUnaryCall<RequestOf<M>, ResponseOf<M>>,
    ) => Promise<ResponseOf<M>>;

/** What a controller that serves these methods of a service has. */
export type Handlers<S extends Record<keyof S, Method>, M extends keyof S = keyof S> = {
  [Name in M]: Handler<S[Name]>;
};
