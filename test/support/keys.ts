import { createHash } from 'node:crypto';

import type { Role } from '../../src/domain/access/role.js';

/** Keys by the id of their entry. */
export const KEYS = {
  ada: 'sl_the-key-of-ada',
  bob: 'sl_the-key-of-bob',
  prom: 'sl_the-key-of-prom',
  ops: 'sl_the-key-of-ops',
} as const;

/** An entry of the settings for one of the keys; without limits if none are given. */
export function keyEntry(id: keyof typeof KEYS, role: Role, limits: object = {}) {
  return {
    id,
    sha256: createHash('sha256').update(KEYS[id]).digest('hex'),
    role,
    maxUnfinishedJobs: null,
    maxJobsPerMinute: null,
    maxImagesPerDay: null,
    ...limits,
  };
}
