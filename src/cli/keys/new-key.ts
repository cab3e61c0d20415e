import { createHash, randomBytes } from 'node:crypto';

import type { AccessKeyEntry } from '../../config/access-keys.js';
import type { Terminal } from '../terminal.js';

/** Told apart from keys of other services by whoever finds one. */
const PREFIX = 'sl_';
/** 256 bits: nobody guesses one, however fast a hash is. */
const KEY_BYTES = 32;

/** Prints a fresh key, which nothing keeps, and the entry for the settings, which does not tell it. */
export function printNewKey(terminal: Terminal, { id, role }: Pick<AccessKeyEntry, 'id' | 'role'>): void {
  const key = PREFIX + randomBytes(KEY_BYTES).toString('base64url');
  const sha256 = createHash('sha256').update(key).digest('hex');
  terminal.err('The key, which is shown only now; give it to whoever is to use it:');
  terminal.out(key);
  terminal.err('\nThe entry for safelight.yaml, under access, keys:');
  terminal.err(['access:', '  keys:', `    - id: ${id}`, `      role: ${role}`, `      sha256: ${sha256}`].join('\n'));
}
