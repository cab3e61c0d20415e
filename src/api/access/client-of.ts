import { createHash } from 'node:crypto';

/** Enough to tell clients apart, and too little to guess a token from. */
const HEX_DIGITS = 16;

/** Tells clients apart by a token that nobody checks; empty: nobody in particular. */
export function clientOf(token: string | null): string {
  return token === null ? '' : createHash('sha256').update(token).digest('hex').slice(0, HEX_DIGITS);
}
