import { z } from 'zod';

import type { ExactInteger } from '../../http/json/exact-json.js';

/** A time as it is shown: RFC 3339 in UTC with milliseconds. */
export const time = z.string().meta({ format: 'date-time', examples: ['2026-11-21T04:00:00.000Z'] });

/** A seed as it is shown: a JSON number with all its digits, which TypeScript has no type for. */
export const shownSeed = z
  .custom<ExactInteger>()
  .meta({ type: 'integer', format: 'int64', minimum: 0, description: 'Up to 2^63-1, written exactly.', examples: [7] });

/** JSON values under names that depend on what ran. */
export const facts = z.record(z.string(), z.unknown());

/** Shows epoch milliseconds. */
export function timeView(at: number): string {
  return new Date(at).toISOString();
}

export function timeViewOrNull(at: number | null): string | null {
  return at === null ? null : timeView(at);
}
