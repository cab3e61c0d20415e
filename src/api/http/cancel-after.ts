import { invalidFields } from './problem.js';

export const CANCEL_AFTER = 'Cancel-After';

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };
const MAX_MS = 7 * 24 * 3_600_000;

/**
 * The header `Cancel-After: 90s`, as Replicate has it: seconds unless a unit says minutes or hours. Milliseconds; undefined: it was
 * not sent.
 */
export function cancelAfterMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const [, digits = '', unit = 's'] = /^(\d{1,6})([smh]?)$/.exec(header.trim()) ?? [];
  const ms = Number(digits) * (UNIT_MS[unit || 's'] ?? Number.NaN);
  if (digits !== '' && ms >= 1_000 && ms <= MAX_MS) return ms;
  const message = 'must be a duration from 1s to 168h, such as 90s, 5m or 1h';
  throw invalidFields([{ field: CANCEL_AFTER, message, value: header, limit: { min: '1s', max: '168h' } }]);
}
