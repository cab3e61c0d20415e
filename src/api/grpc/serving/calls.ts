import type { Metadata, ServerUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import type { BeforeApplicationShutdown } from '@nestjs/common';
import { Injectable, Logger } from '@nestjs/common';
import { Observable } from 'rxjs';

import type { Caller } from '../../../domain/access/caller.js';
import type { Problem } from '../../http/problem.js';
import { unavailable } from '../../http/unavailable.js';
import { callerOfCall } from './callers.js';
import { inCallTrace } from './call-trace.js';
import { UnreadableRequest } from './service-definitions.js';

/** A call being handled. */
export interface Incoming<Q> {
  readonly request: Q;
  readonly metadata: Metadata;
  readonly caller: Caller;
  /** Aborts when the client has cancelled the call, has gone, or the deadline of the call has passed. */
  readonly gone: AbortSignal;
  /** Aborts when nothing more can be told: the client has gone, or the server closes. */
  readonly over: AbortSignal;
}

type AnyCall<Q> = Pick<ServerUnaryCall<Q, unknown>, 'request' | 'metadata' | 'getDeadline' | 'cancelled'> & {
  once(event: 'cancelled', listener: () => void): unknown;
};

/** Reasons; without one each abort would make an error, with the stack it was made at. */
const GONE = 'the call is over';
const CLOSING = 'the server closes';

/** Runs the work of calls: reads what they bring, stops when they are over, writes as fast as the client reads. */
@Injectable()
export class Calls implements BeforeApplicationShutdown {
  private readonly logger = new Logger(Calls.name);
  private readonly closing = new AbortController();

  /** Streams end here, while the sockets are still open: their clients learn that it is the server who goes. */
  beforeApplicationShutdown(): void {
    this.closing.abort(CLOSING);
  }

  unary<Q, R>(call: ServerUnaryCall<Q, R>, work: (incoming: Incoming<Q>) => Promise<R>): Promise<R> {
    return inCallTrace(call.metadata, async () => work(this.incoming(call)));
  }

  /**
   * One message at a time is on its way to the client; the next is made once it has been taken. The generator is ended when
   * the call is over: what it holds is freed in its `finally`.
   */
  streaming<Q, R>(
    call: ServerWritableStream<Q, R>,
    work: (incoming: Incoming<Q>) => AsyncGenerator<R>,
  ): Observable<never> {
    return new Observable((subscriber) => {
      void inCallTrace(call.metadata, async () => {
        let incoming: Incoming<Q> | null = null;
        try {
          incoming = this.incoming(call);
          for await (const message of work(incoming)) await written(call, message, incoming.over);
          if (!incoming.gone.aborted && this.closing.signal.aborted) throw serverCloses();
          subscriber.complete();
        } catch (error) {
          if (incoming?.gone.aborted && error !== GONE && error !== CLOSING) this.noteUntold(call.getPath(), error);
          subscriber.error(error === CLOSING ? serverCloses() : error);
        }
      });
    });
  }

  private incoming<Q>(call: AnyCall<Q>): Incoming<Q> {
    const { request, metadata } = call;
    if (request instanceof UnreadableRequest) throw request.problem;
    const gone = untilGone(call);
    const over = AbortSignal.any([gone, this.closing.signal]);
    return { request, metadata, caller: callerOfCall(metadata), gone, over };
  }

  /** Nobody is there to be told, and a defect must not be lost. */
  private noteUntold(path: string, error: unknown): void {
    this.logger.error(`${path} failed after its client had gone`, error instanceof Error ? error.stack : String(error));
  }
}

/**
 * The deadline is watched here too: grpc-js tells of it once the status is sent, which is never while the client does not
 * read.
 */
function untilGone(call: AnyCall<unknown>): AbortSignal {
  const controller = new AbortController();
  if (call.cancelled) {
    controller.abort(GONE);
    return controller.signal;
  }
  const left = Number(call.getDeadline()) - Date.now();
  const timer = Number.isFinite(left) ? setTimeout(() => controller.abort(GONE), Math.max(0, left)).unref() : undefined;
  // Comes at the end of every call.
  call.once('cancelled', () => {
    clearTimeout(timer);
    controller.abort(GONE);
  });
  return controller.signal;
}

/** Resolves when the client has room for more; rejects with the reason of the signal. */
function written<R>(call: ServerWritableStream<unknown, R>, message: R, over: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stop = () => reject(over.reason);
  if (over.aborted) stop();
  else {
    over.addEventListener('abort', stop, { once: true });
    call.write(message, (error?: Error | null) => {
      over.removeEventListener('abort', stop);
      if (error) reject(error);
      else resolve();
    });
  }
  return promise;
}

function serverCloses(): Problem {
  const detail = 'the server stops; accepted jobs are unharmed: ask again, or another node';
  return unavailable(detail);
}
