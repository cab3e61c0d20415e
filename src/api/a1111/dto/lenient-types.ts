import { z } from 'zod';

/**
 * Types of FastAPI's lax mode, in which AUTOMATIC1111 reads its requests: null is absent, numbers may come as text, and whole
 * numbers as 1.0. What cannot be read is a problem, never a default.
 */
export const number = z
  .union([
    z.number(),
    z
      .string()
      .regex(/^\s*-?\d{1,15}(?:\.\d{1,15})?\s*$/, 'must be a number')
      .transform(Number),
  ])
  .nullish()
  .transform((value) => value ?? undefined);

export const integer = number.superRefine((value, context) => {
  if (value !== undefined && !Number.isSafeInteger(value))
    context.addIssue({ code: 'custom', message: 'must be a whole number', params: { limit: { type: 'integer' } } });
});

export const boolean = z
  .union([
    z.boolean(),
    z.literal(0).transform(() => false),
    z.literal(1).transform(() => true),
    z.enum(['true', 'True']).transform(() => true),
    z.enum(['false', 'False']).transform(() => false),
  ])
  .nullish()
  .transform((value) => value ?? undefined);

/** Any JSON object, absent when null. */
export const object = z
  .record(z.string(), z.unknown())
  .nullish()
  .transform((value) => value ?? undefined);

/** Absent when null. */
export function given<T extends z.ZodType>(type: T) {
  return type.nullish().transform((value) => value ?? undefined);
}

const MAX_SEED_DIGITS = 40;

/** Decimal digits; absent for -1 and null, which ask for one to be drawn. */
export const seed = z
  .unknown()
  .transform((value, context) => {
    if (value === undefined || value === null || value === '') return undefined;
    const digits = seedDigits(value);
    if (digits !== null) return digits.startsWith('-') ? undefined : digits;
    const params = { limit: { min: -1, max: '9223372036854775807' } };
    context.addIssue({ code: 'custom', message: 'must be a whole number, or -1 for one that is drawn', params });
    return z.NEVER;
  })
  .meta({ type: 'integer', format: 'int64', minimum: -1, description: 'Of the first picture; -1: one is drawn.' });

/** Null: no whole number. */
function seedDigits(value: unknown): string | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value).toString() : null;
  const text = typeof value === 'bigint' ? value.toString() : value;
  const isDigits = typeof text === 'string' && text.length <= MAX_SEED_DIGITS && /^-?\d+$/.test(text);
  return isDigits ? BigInt(text).toString() : null;
}
