import type { Metadata } from '@grpc/grpc-js';
import type { CanActivate, ExecutionContext } from '@nestjs/common';
import { Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';

import type { Role } from '../../../domain/access/role.js';
import { ADMITS, DEFAULT_ROLES } from '../../access/admits.js';
import { Problem } from '../../http/problem.js';
import { callerOfCall } from './callers.js';

/** Lets a call through to those methods that admit its key; the same words as over HTTP. */
@Injectable()
export class CallAccessGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const targets = [context.getHandler(), context.getClass()];
    const admitted = this.reflector.getAllAndOverride<readonly Role[] | undefined>(ADMITS, targets) ?? DEFAULT_ROLES;
    const { role } = callerOfCall(context.switchToRpc().getContext<Metadata>());
    if (admitted.includes(role)) return true;
    throw new Problem('forbidden', `a key with the role ${role} may not do this; ${admitted.join(' or ')} may`);
  }
}
