const SPACE = /[ \t\n\r]*/y;
const SCALAR = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-])/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

type Expected = 'value' | 'value or ]' | 'key' | 'key or }' | ':' | ', or end';

/**
 * Position of the first character at which a text stops being JSON; its length when it ends too early. The engine's own
 * message has no position for the most frequent mistakes. Asked only after parsing failed.
 */
export function syntaxErrorPosition(text: string): number {
  const open: ('{' | '[')[] = [];
  let expected = 'value' as Expected;
  for (let at = skip(SPACE, text, 0); ; at = skip(SPACE, text, at)) {
    const char = text[at];
    if (expected === ', or end' && open.length === 0) return at;
    if (char === undefined) return at;
    const inside = open.at(-1);
    const closes = (char === '}' && inside === '{') || (char === ']' && inside === '[');
    if (closes && (expected === ', or end' || expected === (char === '}' ? 'key or }' : 'value or ]'))) {
      open.pop();
      expected = ', or end';
      at++;
    } else if (expected === ', or end') {
      if (char !== ',') return at;
      expected = inside === '{' ? 'key' : 'value';
      at++;
    } else if (expected === ':') {
      if (char !== ':') return at;
      expected = 'value';
      at++;
    } else if (char === '"') {
      const end = stringEnd(text, at);
      if (end.failed) return end.at;
      at = end.at;
      expected = expected === 'key' || expected === 'key or }' ? ':' : ', or end';
    } else if (expected === 'key' || expected === 'key or }') {
      return at;
    } else if (char === '{' || char === '[') {
      open.push(char);
      expected = char === '{' ? 'key or }' : 'value or ]';
      at++;
    } else {
      const end = skip(SCALAR, text, at);
      if (end === at) return at;
      at = end;
      expected = ', or end';
    }
  }
}

/** Where a match of a sticky pattern that begins here ends; here when there is none. */
function skip(pattern: RegExp, text: string, from: number): number {
  pattern.lastIndex = from;
  return pattern.test(text) ? pattern.lastIndex : from;
}

function stringEnd(text: string, from: number): { at: number; failed: boolean } {
  for (let at = from + 1; at < text.length; at++) {
    const char = text[at] as string;
    if (char === '"') return { at: at + 1, failed: false };
    if (char < ' ') return { at, failed: true };
    if (char === '\\') {
      const end = skip(ESCAPE, text, at);
      if (end === at) return { at, failed: true };
      at = end - 1;
    }
  }
  return { at: text.length, failed: true };
}
