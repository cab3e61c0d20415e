import type { IncomingMessage } from 'node:http';

import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import { Observable } from 'rxjs';

import type { SpanContext } from '../../telemetry/tracing/trace-context.js';
import { parseTraceparent } from '../../telemetry/tracing/trace-context.js';
import { inTrace } from '../../telemetry/tracing/trace-scope.js';
import type { Tracing } from '../../telemetry/tracing/tracing.js';
import { isProbe, type RequestFacts } from './access-log.js';

const spans = new WeakMap<IncomingMessage, SpanContext>();

/** The span of a request that began. */
export interface RequestTrace {
  readonly traceId: string | null;
  end(facts: RequestFacts): void;
}

/** Begins the span of a request, below the one its `traceparent` names. Null: traces are off, or it is a mere probe. */
export function traceRequest(request: IncomingMessage, path: string, tracing: Tracing): RequestTrace | null {
  if (!tracing.isOn || isProbe(path)) return null;
  const { traceparent } = request.headers;
  const parent = parseTraceparent(typeof traceparent === 'string' ? traceparent : undefined);
  const context = tracing.begin(parent);
  const startedAt = Date.now();
  spans.set(request, context);
  return {
    traceId: context.sampled ? context.traceId : null,
    end({ requestId, method, route, status, bytes, job, isWhole }) {
      tracing.record({
        context,
        parent,
        name: route === null ? method : `${method} ${route}`,
        kind: 'server',
        startedAt,
        endedAt: Date.now(),
        attributes: {
          'http.request.method': method,
          'http.route': route,
          'http.response.status_code': status,
          'http.response.size': bytes,
          'url.path': path,
          'safelight.request.id': requestId,
          'safelight.job.id': job,
          'safelight.closed_early': isWhole ? null : true,
        },
        // A client's mistake is no error of a server's span.
        error: status >= 500 ? String(status) : null,
      });
    },
  };
}

/**
 * Runs handlers as part of their request's span, so that jobs they submit belong to its trace. An interceptor rather than
 * middleware: what reads bodies calls on from events of the socket, where the scope is lost.
 */
export class TraceInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const span =
      context.getType() === 'http' ? spans.get(context.switchToHttp().getRequest<IncomingMessage>()) : undefined;
    if (span === undefined) return next.handle();
    return new Observable((subscriber) => inTrace(span, () => next.handle().subscribe(subscriber)));
  }
}
