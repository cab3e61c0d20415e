import { createHash } from 'node:crypto';

/** Enough to tell clients apart, and too little to guess a token from. */
const HEX_DIGITS = 16;

/** Who sends a request, from its bearer token, which is not checked; empty: nobody in particular. */
export function clientOf(authorization: string | undefined): string {
  const token = /^bearer +(\S+)\s*$/i.exec(authorization ?? '')?.[1];
  return token === undefined ? '' : createHash('sha256').update(token).digest('hex').slice(0, HEX_DIGITS);
}
