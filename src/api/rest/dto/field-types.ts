import { z } from 'zod';

/**
 * Text that every store, file format and log downstream can hold: no NUL, no half of a surrogate pair (which UTF-8 cannot
 * express and would turn into another character on the way).
 */
export function text(maxChars?: number) {
  const wellFormed = z.string().superRefine((value, context) => {
    if (value.includes('\0')) {
      context.addIssue({
        code: 'custom',
        message: 'must not contain NUL characters',
        params: { limit: { no: 'U+0000' } },
      });
    } else if (!value.isWellFormed()) {
      const params = { limit: { encoding: 'UTF-8' } };
      context.addIssue({ code: 'custom', message: 'must not contain half a surrogate pair', params });
    }
  });
  return maxChars === undefined ? wellFormed : wellFormed.max(maxChars);
}

const MAX_SEED_DIGITS = 40;
const SEED_LIMIT = { min: 0, max: '9223372036854775807' };

/** A seed in decimal digits, whatever way it was given. Its range is checked with the number of images, later. */
export const seed = z
  .unknown()
  .transform((value, context) => {
    const digits = seedDigits(value);
    if (digits !== null) return digits;
    const message = 'must be a whole number in plain digits, or the same as a string';
    context.addIssue({ code: 'custom', message, params: { limit: SEED_LIMIT } });
    return z.NEVER;
  })
  .meta({
    description: 'From 0 to 2^63-1, as a number or as a string of digits. Absent: one is drawn and told.',
    oneOf: [
      { type: 'integer', format: 'int64', minimum: 0 },
      { type: 'string', pattern: '^\\d+$' },
    ],
  });

function seedDigits(value: unknown): string | null {
  if (typeof value === 'bigint') return value.toString().length <= MAX_SEED_DIGITS ? value.toString() : null;
  // A number beyond 2^53 that was not written in plain digits (1e18) was rounded already.
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value).toString() : null;
  const isDigits = typeof value === 'string' && value.length <= MAX_SEED_DIGITS && /^-?\d+$/.test(value);
  return isDigits ? BigInt(value).toString() : null;
}

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;
const isDateTime = z.iso.datetime({ offset: true });

/** A time of RFC 3339 as epoch milliseconds. */
export const dateTime = z
  .string()
  .transform((value, context) => {
    const upper = value.toUpperCase();
    const at = RFC_3339.test(upper) && isDateTime.safeParse(upper).success ? Date.parse(upper) : Number.NaN;
    if (!Number.isNaN(at)) return at;
    const params = { limit: { format: 'RFC 3339, such as 2026-01-31T12:00:00Z' } };
    context.addIssue({ code: 'custom', message: 'must be a time with its offset', params });
    return z.NEVER;
  })
  .meta({ format: 'date-time' });

/** An object used as a map, with bounds on keys and entries. */
export function boundedMap<V extends z.ZodType>(values: V, bound: { entries: number; keyChars: number }) {
  return z
    .record(z.string(), values)
    .superRefine((map, context) => {
      const keys = Object.keys(map);
      if (keys.length > bound.entries) {
        const params = { limit: { max_entries: bound.entries } };
        context.addIssue({ code: 'custom', message: `must have at most ${bound.entries} entries`, params });
      }
      if (keys.some((key) => key === '' || key.length > bound.keyChars || key.includes('\0') || !key.isWellFormed())) {
        const params = { limit: { min_key_chars: 1, max_key_chars: bound.keyChars } };
        context.addIssue({ code: 'custom', message: `must have keys of 1 to ${bound.keyChars} characters`, params });
      }
    })
    .meta({ maxProperties: bound.entries, propertyNames: { minLength: 1, maxLength: bound.keyChars } });
}
