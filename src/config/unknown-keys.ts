import { unknownKeyProblem } from './area-reader.js';
import { DECLARED_AREAS } from './areas.js';
import { filePathOf } from './config-area.js';
import type { ConfigProblem } from './config-error.js';
import { shown } from './config-error.js';
import type { YamlSource } from './yaml-source.js';

/** Keys of the file that are no settings (a typing mistake must not be a silent default), and sections that are no maps. */
export function unknownKeys(file: YamlSource): ConfigProblem[] {
  const known = knownKeys();
  const problems: ConfigProblem[] = [];
  for (const [key, value] of Object.entries(file.values)) {
    const inside = known.get(key);
    if (inside === undefined) {
      problems.push(unknownKeyProblem(file.whereIs([key], 'key'), key, [...known.keys()]));
    } else if (inside !== null) {
      problems.push(...unknownInSection(file, key, value, inside));
    }
  }
  return problems;
}

function unknownInSection(
  file: YamlSource,
  section: string,
  value: unknown,
  known: readonly string[],
): ConfigProblem[] {
  // `http:` with nothing below it is a section whose lines were all commented out.
  if (value === null) return [];
  if (typeof value !== 'object' || Array.isArray(value)) {
    return [
      {
        where: file.whereIs([section], 'value'),
        setting: section,
        message: `${section} is ${shown(value)}`,
        allowed: `a section with ${known.join(', ')}`,
        nextStep: `put the settings below ${section}, indented, one a line`,
      },
    ];
  }
  return Object.keys(value)
    .filter((key) => !known.includes(key))
    .map((key) => unknownKeyProblem(file.whereIs([section, key], 'key'), `${section}.${key}`, known));
}

/** Keys of the top level; with their own keys where they are sections, null where they are settings. */
function knownKeys(): Map<string, string[] | null> {
  const known = new Map<string, string[] | null>();
  for (const [, area] of DECLARED_AREAS) {
    for (const name of Object.keys(area.fields)) {
      const [key = '', inner] = filePathOf(area, name);
      known.set(key, inner === undefined ? null : [...(known.get(key) ?? []), inner]);
    }
  }
  return known;
}
