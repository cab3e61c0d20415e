import type { NestMiddleware } from '@nestjs/common';
import { Injectable } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';

import { HttpConfig } from '../../config/http.config.js';
import { Problem } from './problem.js';

/** What browsers send of themselves, and pages cannot write (https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header). */
const FOREIGN: readonly unknown[] = ['cross-site', 'same-site'];

const READING: readonly string[] = ['GET', 'HEAD', 'OPTIONS'];

/**
 * Refuses what a page of another site has a browser do that can reach this server. CORS keeps such a page from reading
 * answers, not from sending forms and empty bodies: it could cancel, drain and draw without a key where none is in use, and
 * with the password the browser remembers where one is.
 */
@Injectable()
export class ForeignPagesMiddleware implements NestMiddleware {
  constructor(private readonly http: HttpConfig) {}

  use({ method, headers }: Request, _response: Response, next: NextFunction): void {
    if (!READING.includes(method) && FOREIGN.includes(headers['sec-fetch-site']) && !this.mayCall(headers.origin))
      throw new Problem('forbidden', 'a page of another site may not do this; http.cors_origins lists those that may');
    next();
  }

  private mayCall(origin: string | undefined): boolean {
    const { corsOrigins } = this.http;
    return corsOrigins.includes('*') || (origin !== undefined && corsOrigins.includes(origin));
  }
}
