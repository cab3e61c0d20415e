import { DECLARED_AREAS } from './areas.js';
import { variablesOf } from './config-area.js';
import { didYouMean } from './did-you-mean.js';

/**
 * Warnings about variables that look like a setting of a known section and are none. Variables stay around in shells and
 * unit files, so one that an older or newer version knows must not keep this one from starting. Names outside the sections
 * belong to others (the set-up, the command line, deployments).
 */
export function unknownVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  const areas = DECLARED_AREAS.map(([, area]) => area);
  const known = areas.flatMap((area) => Object.keys(area.fields).flatMap((name) => variablesOf(area, name)));
  const prefixes = areas.flatMap(({ section }) => (section === null ? [] : [`SAFELIGHT_${section.toUpperCase()}_`]));
  return Object.keys(env)
    .filter((name) => prefixes.some((prefix) => name.startsWith(prefix)) && !known.includes(name))
    .sort()
    .map((name) => {
      const meant = didYouMean(name, known);
      return `${name} is no setting and was ignored; ${meant === null ? 'unset it' : `did you mean ${meant}?`}`;
    });
}
