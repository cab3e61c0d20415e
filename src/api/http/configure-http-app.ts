import type { NestApplicationOptions } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { NextFunction, Request, Response } from 'express';
import helmet from 'helmet';
import type { Logger } from 'pino';

import { HttpConfig } from '../../config/http.config.js';
import { LogConfig } from '../../config/log.config.js';
import { Metrics } from '../../metrics/metrics.js';
import { LOG } from '../../telemetry/log.js';
import { Tracing } from '../../telemetry/tracing/tracing.js';
import { ERROR_DIALECTS } from '../error-dialects.js';
import { serveOpenApi } from '../openapi.js';
import { observeRequests } from './observe-requests.js';
import { TraceInterceptor } from './request-trace.js';
import { ProblemFilter } from './problem.filter.js';

/**
 * What the application has to be made with: Express's own parsers would round seeds, and an open event stream must not hold
 * up the end.
 */
export const HTTP_APP_OPTIONS = {
  bodyParser: false,
  forceCloseConnections: true,
} as const satisfies NestApplicationOptions;

/** Bound on receiving the headers. Answers, such as event streams, may take any time. */
const HEADERS_TIMEOUT_MS = 15_000;

/** Longer than the 60 seconds load balancers keep idle connections, so that it is never us who close one being used. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;

/** What pages of the configured origins may send and read. Keys come in headers, so that no page ever borrows a cookie. */
const CORS = {
  methods: ['GET', 'POST', 'DELETE'],
  exposedHeaders: [
    'Location',
    'Retry-After',
    'ETag',
    'Preference-Applied',
    'Safelight-Job-Id',
    'X-Request-Id',
    'X-Should-Retry',
  ],
  maxAge: 600,
};

/** Makes an application made with {@link HTTP_APP_OPTIONS} our HTTP server. To be called before `listen` and `init`. */
export function configureHttpApp(app: NestExpressApplication): void {
  const tracing = app.get(Tracing);
  // The first of all: what any of the others answers is seen too.
  app.use(
    observeRequests({
      log: app.get(LogConfig).requests ? app.get<Logger>(LOG) : null,
      metrics: app.get(Metrics).http,
      tracing,
    }),
  );
  if (tracing.isOn) app.useGlobalInterceptors(new TraceInterceptor());
  app.disable('x-powered-by');
  // Entity tags are ours to give; Express would hash every answer.
  app.disable('etag');
  app.use(
    helmet({
      // Served over plain HTTP: both would send a browser to an HTTPS port that is not there.
      contentSecurityPolicy: { directives: { 'upgrade-insecure-requests': null } },
      strictTransportSecurity: false,
    }),
  );
  app.use((_request: Request, response: Response, next: NextFunction) => {
    response.setHeader('Cache-Control', 'no-store');
    next();
  });
  app.useGlobalFilters(new ProblemFilter(ERROR_DIALECTS, app.get<Logger>(LOG)));
  const { corsOrigins, requestTimeoutMs } = app.get(HttpConfig);
  if (corsOrigins.length > 0) app.enableCors({ ...CORS, origin: corsOrigins.includes('*') ? '*' : [...corsOrigins] });
  serveOpenApi(app);

  const server = app.getHttpServer();
  server.headersTimeout = Math.min(HEADERS_TIMEOUT_MS, requestTimeoutMs);
  server.requestTimeout = requestTimeoutMs;
  server.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS;
}
