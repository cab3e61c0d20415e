import { exactInteger } from './json/exact-json.js';

/** Longest text that is sent back of what a client sent. */
const MAX_CHARS = 120;

/** What a client sent, short enough to be sent back and always representable in JSON. */
export function boundedValue(value: unknown): unknown {
  switch (typeof value) {
    case 'undefined':
      return null;
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'bigint': {
      const digits = value.toString();
      return digits.length > MAX_CHARS ? shortened(digits) : exactInteger(digits);
    }
    case 'string':
      return shortened(value);
    default:
      return value === null ? null : shortened(JSON.stringify(value, withoutBigints));
  }
}

function shortened(text: string): string {
  const wellFormed = text.toWellFormed();
  return wellFormed.length > MAX_CHARS
    ? `${wellFormed.slice(0, MAX_CHARS).toWellFormed()}… (${text.length} characters)`
    : wellFormed;
}

function withoutBigints(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
