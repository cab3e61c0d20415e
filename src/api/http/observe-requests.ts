import type { NextFunction, Request, Response } from 'express';
import type { Logger } from 'pino';

import type { HttpMetrics } from '../../metrics/http-metrics.js';
import type { Tracing } from '../../telemetry/tracing/tracing.js';
import type { RequestFacts } from './access-log.js';
import { jobInPath, logRequest } from './access-log.js';
import { callerOf } from './caller-of.js';
import { giveRequestId } from './request-id.js';
import { traceRequest } from './request-trace.js';

export interface RequestObservers {
  /** Null: requests are not logged. */
  readonly log: Logger | null;
  readonly metrics: HttpMetrics;
  readonly tracing: Tracing;
}

/** As nginx has it: the client closed the connection before there was a status. */
const CLIENT_CLOSED = 499;

/** Follows each request to its end: its id, its line in the log, its metrics, its span. */
export function observeRequests({ log, metrics, tracing }: RequestObservers) {
  return (request: Request, response: Response, next: NextFunction): void => {
    const startedAt = performance.now();
    const { path, socket } = request;
    const bytesBefore = socket.bytesWritten;
    const requestId = giveRequestId(request, response);
    const trace = traceRequest(request, path, tracing);
    metrics.begin();
    response.once('close', () => {
      const facts: RequestFacts = {
        requestId,
        method: request.method,
        path,
        route: routeOf(request),
        status: response.headersSent ? response.statusCode : CLIENT_CLOSED,
        ms: performance.now() - startedAt,
        bytes: socket.bytesWritten - bytesBefore,
        client: clientOf(request),
        job: jobOf(path, response),
        traceId: trace?.traceId ?? null,
        isWhole: response.writableFinished,
      };
      metrics.end(facts);
      trace?.end(facts);
      if (log !== null) logRequest(log, facts);
    });
    next();
  };
}

/** Null where nothing is served: the path of such a request could be anything. */
function routeOf({ route }: Request): string | null {
  const pattern: unknown = (route as { path?: unknown } | undefined)?.path;
  return typeof pattern === 'string' ? pattern : null;
}

function clientOf(request: Request): string | null {
  try {
    return callerOf(request).client || null;
  } catch {
    return null;
  }
}

/** The job in the address, else the one that was submitted. */
function jobOf(path: string, response: Response): string | null {
  const location = response.getHeader('Location');
  return jobInPath(path) ?? jobInPath(typeof location === 'string' ? location : '');
}
