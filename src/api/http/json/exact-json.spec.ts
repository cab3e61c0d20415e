import { exactInteger, JsonError, parseExactJson } from './exact-json.js';
import { syntaxErrorPosition } from './syntax-error-position.js';

describe('parseExactJson', () => {
  it('keeps integers that a double cannot hold', () => {
    const text = '{"a":9223372036854775807,"b":[-9007199254740993],"c":9007199254740991,"d":0.5,"e":1e3}';
    expect(parseExactJson(text)).toEqual({
      a: 9223372036854775807n,
      b: [-9007199254740993n],
      c: Number.MAX_SAFE_INTEGER,
      d: 0.5,
      e: 1000,
    });
  });

  it('writes them digit by digit', () => {
    expect(JSON.stringify({ seed: exactInteger('9223372036854775807') })).toBe('{"seed":9223372036854775807}');
  });

  it('does not count brackets in texts as levels', () => {
    expect(parseExactJson(JSON.stringify({ text: `\\"${'['.repeat(1_000)}` }))).toEqual({
      text: `\\"${'['.repeat(1_000)}`,
    });
  });

  it.each(['\\\\', '\\\\\\"', 'x'])('counts them again behind a text that ends in %s', (end) => {
    const deep = '['.repeat(65) + ']'.repeat(65);
    expect(() => parseExactJson(`{"text": "a ${end}", "deep": ${deep}}`)).toThrow('nests deeper');
  });

  it('takes 64 levels and no more', () => {
    expect(() => parseExactJson('['.repeat(64) + ']'.repeat(64))).not.toThrow();
    expect(() => parseExactJson('['.repeat(65) + ']'.repeat(65))).toThrow(JsonError);
  });

  it('takes 20,000 values and no more', () => {
    expect(() => parseExactJson(`[${'0,'.repeat(20_000)}0]`)).not.toThrow();
    expect(() => parseExactJson(`[${'0,'.repeat(20_001)}0]`)).toThrow(JsonError);
  });

  it.each(['{"__proto__":1}', String.raw`{"a":{"\u005f_proto__":{}}}`])('refuses %s', (text) => {
    expect(() => parseExactJson(text)).toThrow('__proto__');
  });

  it('tells a syntax error from JSON that is not taken', () => {
    expect(thrown('{')).toMatchObject({ isSyntax: true, message: 'not valid JSON: it ends too early, at position 1' });
    expect(thrown('{"__proto__":1}')).toMatchObject({ isSyntax: false });
  });
});

describe('syntaxErrorPosition', () => {
  it.each([
    ['', 0],
    ['  ', 2],
    ['abc', 0],
    ['{a: 1}', 1],
    ['{"a" 1}', 5],
    ['{"a": 1 "b"}', 8],
    ['{"a": 1,}', 8],
    ['{,}', 1],
    ['[1,]', 3],
    ['[1 2]', 3],
    ['[1}', 2],
    ['{"a": 1]', 7],
    ['{"a": ]', 6],
    ['01', 0],
    ['-', 0],
    ['1.', 0],
    ['[+1]', 1],
    ['nulll', 0],
    ["{'a': 1}", 1],
    ['"a', 2],
    ['"a\nb"', 2],
    [String.raw`"a\x"`, 2],
    [String.raw`"a\u12g4"`, 2],
    ['{"a": 1} x', 9],
    [']', 0],
  ])('of %j is %d', (text, position) => {
    expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
    expect(syntaxErrorPosition(text)).toBe(position);
  });

  it('lies behind what can still become JSON, wherever a document is broken', () => {
    const good = '{"a": [1, -2.5e3, true, null, "x\\n\\u00e9"], "b": {"c": {}}}';
    for (let at = 0; at < good.length; at++) {
      const broken = `${good.slice(0, at)}§${good.slice(at + 1)}`;
      if (isJson(broken)) continue;
      const position = syntaxErrorPosition(broken);
      expect(syntaxErrorPosition(broken.slice(0, position))).toBe(position);
    }
  });
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function thrown(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch (error) {
    return error;
  }
}
