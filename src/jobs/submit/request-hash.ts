import { createHash } from 'node:crypto';

import type { GenerationInput } from './generation-input.js';

/** SHA-256 in hex. The same inputs in any order of keys have the same. */
export function requestHash(inputs: readonly GenerationInput[]): string {
  return createHash('sha256').update(canonical(inputs)).digest('hex');
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, entry: unknown) =>
    typeof entry === 'object' && entry !== null && !Array.isArray(entry)
      ? Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1)))
      : entry,
  );
}
