import { syntaxErrorPosition } from './syntax-error-position.js';

/** Deepest nesting of a body. Ours need 4; the bound keeps the reviver's recursion far from the end of the stack. */
const MAX_DEPTH = 64;

/** Most values of a body. A hundred requests with every field and all metadata have under 10,000. */
const MAX_VALUES = 20_000;

/** Longest integer kept exact. More digits fit no field, and converting a million of them takes most of a second. */
const MAX_DIGITS = 40;

/** An integer of any size that is written to JSON digit by digit. */
export type ExactInteger = { readonly rawJSON: string };

// TypeScript's library does not know these two parts of ES2026 yet.
const { rawJSON } = JSON as unknown as { rawJSON(this: void, text: string): ExactInteger };
type Parse = (text: string, revive: (key: string, value: unknown, context: { source?: string }) => unknown) => unknown;
const parse = JSON.parse as Parse;

/** A body that is not JSON, or JSON that is not taken. */
export class JsonError extends Error {
  constructor(
    message: string,
    /** False: it is JSON, but of a kind that is refused. */
    readonly isSyntax: boolean,
  ) {
    super(message);
  }
}

/**
 * Parses JSON without rounding: an integer that a double cannot hold becomes a bigint, since a seed may be up to 2^63-1.
 * Of a key given twice the last counts, as everywhere; `__proto__` is refused, so that no copy of the value can be poisoned.
 */
export function parseExactJson(text: string): unknown {
  checkExtent(text);
  try {
    return parse(text, (key, value, { source }) => {
      if (key === '__proto__') throw new JsonError('the key __proto__ is not taken', false);
      if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
      return source !== undefined && source.length <= MAX_DIGITS && /^-?\d+$/.test(source) ? BigInt(source) : value;
    });
  } catch (error) {
    if (error instanceof SyntaxError) throw new JsonError(`not valid JSON: ${where(text)}`, true);
    throw error;
  }
}

/** An integer given as decimal digits, to be written exactly. */
export function exactInteger(digits: string): ExactInteger {
  return rawJSON(digits);
}

function where(text: string): string {
  const position = syntaxErrorPosition(text);
  if (position >= text.length) return `it ends too early, at position ${position}`;
  const { line, column } = lineAndColumn(text, position);
  const found = JSON.stringify(String.fromCodePoint(text.codePointAt(position) ?? 0).toWellFormed());
  return `unexpected ${found} at position ${position} (line ${line}, column ${column})`;
}

/** Both counted from 1; without a list of all lines, of which a body may have as many as bytes. */
function lineAndColumn(text: string, position: number): { line: number; column: number } {
  let line = 1;
  let begin = 0;
  for (let at = text.indexOf('\n'); at !== -1 && at < position; at = text.indexOf('\n', at + 1)) {
    line += 1;
    begin = at + 1;
  }
  return { line, column: position - begin + 1 };
}

/** Refuses what would keep the event loop busy for long. Looks at brackets and commas outside of texts only. */
function checkExtent(text: string): void {
  let depth = 0;
  let commas = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '"') at = endOfString(text, at);
    else if (char === ',') commas++;
    else if (char === '{' || char === '[') depth++;
    else if (char === '}' || char === ']') depth--;
    if (depth > MAX_DEPTH) throw new JsonError(`the body nests deeper than ${MAX_DEPTH} levels`, false);
    if (commas > MAX_VALUES) throw new JsonError(`the body holds more than ${MAX_VALUES} values`, false);
  }
}

/** Position of the quote that closes the text begun at `start`; a picture of 20 MiB is one text, so it is not walked. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    at = text.indexOf('"', at);
    if (at === -1) return text.length;
    let backslashes = 0;
    while (text[at - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return at;
  }
}
