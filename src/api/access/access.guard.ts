import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Request } from 'express';

import type { Role } from '../../domain/access/role.js';
import { callerOf } from '../http/caller-of.js';
import { Problem } from '../http/problem.js';
import { ADMITS, DEFAULT_ROLES } from './admits.js';

/** Lets a request through to those routes that admit its key. A route that says nothing admits no key that only monitors. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    if (context.getType() !== 'http') return true;
    const request = context.switchToHttp().getRequest<Request>();
    const admitted =
      this.reflector.getAllAndOverride<readonly Role[] | 'all' | undefined>(ADMITS, [
        context.getHandler(),
        context.getClass(),
      ]) ?? DEFAULT_ROLES;
    if (admitted === 'all') return true;
    const { role } = callerOf(request);
    if (admitted.includes(role)) return true;
    throw new Problem('forbidden', `a key with the role ${role} may not do this; ${admitted.join(' or ')} may`);
  }
}
