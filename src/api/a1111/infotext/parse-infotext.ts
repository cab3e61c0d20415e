/**
 * `Name: value`, where the value is quoted if it holds a comma (modules/infotext_utils.py). The name is bounded, unlike there:
 * else a long line without a colon would be read again from each of its letters.
 */
const PARAMETER = /(\w[\w \-/]{1,100}):\s{0,10}("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)/g;

/** A last line with fewer of them is part of the prompt. */
const LEAST_PARAMETERS = 3;

const NEGATIVE = 'Negative prompt:';

/** Longest infotext that is read; prompts end at 10,000 characters. */
const MAX_CHARS = 200_000;

/** An infotext as names and values, in AUTOMATIC1111's words; a size comes as `Size-1` and `Size-2`. Empty for none. */
export function parseInfotext(infotext: string): Record<string, string> {
  const lines = infotext.slice(0, MAX_CHARS).trim().split('\n');
  if (lines.join('') === '') return {};
  const last = [...(lines.at(-1) ?? '').matchAll(PARAMETER)];
  const parameters = last.length >= LEAST_PARAMETERS ? last : [];
  const words = (parameters.length > 0 ? lines.slice(0, -1) : lines).map((line) => line.trim());
  const begin = words.findIndex((line) => line.startsWith(NEGATIVE));
  const prompt = begin === -1 ? words : words.slice(0, begin);
  const negative = begin === -1 ? [] : [(words[begin] ?? '').slice(NEGATIVE.length).trim(), ...words.slice(begin + 1)];
  return {
    Prompt: prompt.join('\n'),
    'Negative prompt': negative.join('\n'),
    ...Object.fromEntries(parameters.flatMap(([, name = '', value = '']) => entries(name, unquoted(value)))),
  };
}

function entries(name: string, value: string): [string, string][] {
  const size = /^(\d+)x(\d+)$/.exec(value);
  return size === null
    ? [[name, value]]
    : [
        [`${name}-1`, size[1] ?? ''],
        [`${name}-2`, size[2] ?? ''],
      ];
}

function unquoted(value: string): string {
  if (!/^".*"$/s.test(value)) return value;
  try {
    const read: unknown = JSON.parse(value);
    return typeof read === 'string' ? read : value;
  } catch {
    return value;
  }
}
