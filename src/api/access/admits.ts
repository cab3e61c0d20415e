import { SetMetadata } from '@nestjs/common';

import type { Role } from '../../domain/access/role.js';

export const ADMITS = Symbol('Admits');

/** Who may call a route when nothing else is said: those who have jobs. */
export const DEFAULT_ROLES: readonly Role[] = ['user', 'operator'];

/** Roles that may call a controller or a method; the method's word wins. */
export const Admits = (...roles: readonly Role[]) => SetMetadata(ADMITS, roles);

/** Nobody is asked for a key. */
export const AdmitsAll = () => SetMetadata(ADMITS, 'all');
