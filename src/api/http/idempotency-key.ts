import { invalidFields } from './problem.js';

const MAX_CHARS = 255;

/** The header `Idempotency-Key`; null when there is none. */
export function idempotencyKeyOf(header: string | undefined): string | null {
  if (header === undefined) return null;
  if (header.length <= MAX_CHARS && /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(header)) return header;
  const message = `must have 1 to ${MAX_CHARS} printable ASCII characters`;
  const limit = { min_chars: 1, max_chars: MAX_CHARS };
  throw invalidFields([{ field: 'Idempotency-Key', message, value: header, limit }]);
}
