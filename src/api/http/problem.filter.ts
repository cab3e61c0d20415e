import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import { Catch, HttpException } from '@nestjs/common';
import type { Request, Response } from 'express';
import type { Logger } from 'pino';

import { jobInPath } from './access-log.js';
import { allowedMethods } from './allowed-methods.js';
import type { ErrorDialect } from './error-dialect.js';
import { PROBLEM_DOCUMENTS } from './error-dialect.js';
import { codeOfStatus, ERRORS } from './error-codes.js';
import { Problem } from './problem.js';
import { requestIdOf } from './request-id.js';
import { storeUnavailable } from './unavailable.js';

/** Longest path that is repeated in an answer. */
const MAX_INSTANCE_CHARS = 200;

/** Turns whatever was thrown into a problem, told in the dialect of the address. Only a defect is logged, and nothing of it is shown. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(
    private readonly dialects: readonly ErrorDialect[],
    private readonly log: Logger,
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<Request>();
    const response = host.switchToHttp().getResponse<Response>();
    const problem = asProblem(error, request);
    this.tell(problem, error, request);
    // An answer that has begun cannot become another one; cutting it off is how the client learns that it is not whole.
    if (response.headersSent) {
      response.destroy();
      return;
    }
    for (const [name, value] of Object.entries(problem.facts.headers ?? {})) response.setHeader(name, value);
    const dialect = this.dialects.find((each) => each.speaks(request.path)) ?? PROBLEM_DOCUMENTS;
    const { contentType, body } = dialect.render(problem, instanceOf(request));
    response.status(problem.status).setHeader('Content-Type', contentType);
    response.setHeader('Cache-Control', 'no-store');
    response.send(JSON.stringify(body));
  }

  private tell({ code }: Problem, error: unknown, request: Request): void {
    if (code !== 'internal' && code !== 'unavailable') return;
    const job = jobInPath(request.path);
    const fields = {
      request: requestIdOf(request),
      method: request.method,
      path: instanceOf(request),
      ...(job === null ? {} : { job }),
    };
    // Of an error of the database no more than this: its details quote rows, with the prompts in them.
    const bare = new Error(error instanceof Error ? error.message : String(error));
    if (error instanceof Error) bare.stack = error.stack;
    if (code === 'internal') this.log.error({ ...fields, err: bare }, 'a request failed');
    else this.log.warn({ ...fields, reason: bare.message }, 'a request was refused');
  }
}

function asProblem(error: unknown, request: Request): Problem {
  if (error instanceof Problem) return error;
  const away = storeUnavailable(error);
  if (away !== null) return away;
  if (error instanceof HttpException && error.getStatus() === 404) return unrouted(request);
  const status = statusOf(error);
  if (status === null || status >= 500) return new Problem('internal', 'the request failed inside the server');
  const code = codeOfStatus(status);
  return new Problem(code, ERRORS[code].meaning);
}

function unrouted(request: Request): Problem {
  const allowed = allowedMethods(request.app.router as unknown as Parameters<typeof allowedMethods>[0], request.path);
  if (allowed.length === 0) return new Problem('not_found', 'nothing is served under this path');
  const detail = `${request.method} is not taken here; ${allowed.join(', ')} is`;
  return new Problem('method_not_allowed', detail, { headers: { Allow: allowed.join(', ') } });
}

/** Status that Nest and Express put on errors of theirs. */
function statusOf(error: unknown): number | null {
  if (error instanceof HttpException) return error.getStatus();
  const status: unknown = typeof error === 'object' && error !== null && 'status' in error ? error.status : null;
  return typeof status === 'number' ? status : null;
}

function instanceOf(request: Request): string {
  return request.path.slice(0, MAX_INSTANCE_CHARS);
}
