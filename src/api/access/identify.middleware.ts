import type { NestMiddleware } from '@nestjs/common';
import { Injectable } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';

import { identify } from '../http/caller-of.js';
import { Authenticate } from './authenticate.js';

/** Looks at the key of every request before anything of its body is read. */
@Injectable()
export class IdentifyMiddleware implements NestMiddleware {
  constructor(private readonly authenticate: Authenticate) {}

  use(request: Request, _response: Response, next: NextFunction): void {
    const { authorization } = request.headers;
    identify(request, this.authenticate.caller({ authorization, apiKey: request.header('x-api-key') }));
    next();
  }
}
