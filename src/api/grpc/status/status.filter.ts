import type { ArgumentsHost, RpcExceptionFilter } from '@nestjs/common';
import { Catch, Logger } from '@nestjs/common';
import type { ServerUnaryCall } from '@grpc/grpc-js';
import type { Observable } from 'rxjs';
import { throwError } from 'rxjs';

import { CallEnd } from './call-end.js';
import { problemOf, statusOfProblem } from './call-status.js';

/** Turns whatever was thrown into the status of the call. Only a defect is logged, and nothing of it is told. */
@Catch()
export class StatusFilter implements RpcExceptionFilter {
  private readonly logger = new Logger(StatusFilter.name);

  catch(error: unknown, host: ArgumentsHost): Observable<never> {
    if (error instanceof CallEnd) return throwError(() => error);
    const problem = problemOf(error);
    const what = host.getArgByIndex<ServerUnaryCall<unknown, unknown>>(2).getPath();
    if (problem.code === 'internal')
      this.logger.error(`${what} failed`, error instanceof Error ? error.stack : String(error));
    if (problem.code === 'unavailable') this.logger.warn(`${what} was refused: ${String(error)}`);
    return throwError(() => new CallEnd(statusOfProblem(problem)));
  }
}
