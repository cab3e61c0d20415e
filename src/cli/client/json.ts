/** JSON with integers that a double cannot hold: seeds go up to 2^63-1. */

// TypeScript's library does not know these two parts of ES2026 yet.
const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => object };
type Parse = (text: string, revive: (key: string, value: unknown, context: { source?: string }) => unknown) => unknown;

/** Parses; an integer too large for a number becomes its digits. */
export function parseJson(text: string): unknown {
  return (JSON.parse as Parse)(text, (_key, value, { source }) => {
    const isRounded = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);
    return isRounded && source !== undefined ? source : value;
  });
}

/** Digits, to be written as a number. */
export function exactInteger(digits: string): object {
  return rawJSON(digits);
}
