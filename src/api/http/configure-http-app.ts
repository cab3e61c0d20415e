import type { NestApplicationOptions } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import type { NextFunction, Request, Response } from 'express';
import helmet from 'helmet';

import { serveOpenApi } from '../openapi.js';
import { ProblemFilter } from './problem.filter.js';

/**
 * What the application has to be made with: Express's own parsers would round seeds, and an open event stream must not hold
 * up the end.
 */
export const HTTP_APP_OPTIONS = {
  bodyParser: false,
  forceCloseConnections: true,
} as const satisfies NestApplicationOptions;

/** Bound on receiving the headers, and on receiving a whole request. Answers, such as event streams, may take any time. */
const HEADERS_TIMEOUT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 60_000;

/** Longer than the 60 seconds load balancers keep idle connections, so that it is never us who close one being used. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;

/** Makes an application made with {@link HTTP_APP_OPTIONS} our HTTP server. To be called before `listen` and `init`. */
export function configureHttpApp(app: NestExpressApplication): void {
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
  app.useGlobalFilters(new ProblemFilter());
  serveOpenApi(app);

  const server = app.getHttpServer();
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS;
}
