import { createHash, timingSafeEqual } from 'node:crypto';

import { Inject, Injectable } from '@nestjs/common';

import { AccessConfig, ENVIRONMENT_KEY_ID } from '../../config/access.config.js';
import type { Caller } from '../../domain/access/caller.js';
import { NO_LIMITS, OPERATOR } from '../../domain/access/caller.js';
import { clientOf } from './client-of.js';

/** Token of a key for programs on this machine that may read the data folder; see server.json. Null: there is none. */
export const LOCAL_KEY = Symbol('LocalKey');

/** What a request brings to show who sends it, as it stands in the headers or the metadata. */
export interface Credentials {
  /** `Bearer KEY`, or `Basic` with the key as the password. */
  readonly authorization: string | undefined;
  /** The key alone. */
  readonly apiKey: string | undefined;
}

interface KnownKey {
  readonly hash: Buffer;
  readonly caller: Caller;
}

/** Tells who sends a request. */
@Injectable()
export class Authenticate {
  /** False: everybody may do everything. */
  readonly keysInUse: boolean;
  private readonly keys: ReadonlyMap<string, KnownKey>;

  constructor(access: AccessConfig, @Inject(LOCAL_KEY) localKey: string | null) {
    this.keysInUse = access.keys.length > 0 || access.apiKey !== null;
    const ofSettings = access.keys.map(({ id, sha256, role, ...limits }) => ({
      hash: Buffer.from(sha256, 'hex'),
      caller: { client: id, role, limits },
    }));
    const inTheClear = [
      [access.apiKey, { client: ENVIRONMENT_KEY_ID, role: 'operator', limits: NO_LIMITS }],
      [localKey, OPERATOR],
    ] as const;
    const hashed = inTheClear.flatMap(([key, caller]) => (key === null ? [] : [{ hash: hashOf(key), caller }]));
    this.keys = new Map([...ofSettings, ...hashed].map((key) => [key.hash.toString('hex'), key]));
  }

  /** Null: keys are in use and the request brings none that is known. */
  caller(credentials: Credentials): Caller | null {
    const key = keyOf(credentials);
    const hash = key === null ? null : hashOf(key);
    const known = hash === null ? undefined : this.keys.get(hash.toString('hex'));
    // The look-up may leak how a hash begins, and from a hash nobody gets to a key; the comparison leaves no doubt.
    if (known !== undefined && hash !== null && timingSafeEqual(known.hash, hash)) return known.caller;
    return this.keysInUse ? null : { ...OPERATOR, client: clientOf(key) };
  }
}

/** Keys are random and long, so that nothing slower than SHA-256 makes guessing them any harder. */
function hashOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

function keyOf({ authorization, apiKey }: Credentials): string | null {
  if (apiKey !== undefined && apiKey.trim() !== '') return apiKey.trim();
  const [, scheme, value] = /^(bearer|basic) +(\S+)\s*$/i.exec(authorization ?? '') ?? [];
  if (scheme === undefined || value === undefined) return null;
  return scheme.toLowerCase() === 'bearer' ? value : passwordOf(value);
}

/** What stands behind the colon; the name before it does not matter. */
function passwordOf(base64: string): string | null {
  const [, password] = /^[^:]*:(.+)$/s.exec(Buffer.from(base64, 'base64').toString()) ?? [];
  return password ?? null;
}
