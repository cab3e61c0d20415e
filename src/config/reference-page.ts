import { DECLARED_AREAS } from './areas.js';
import type { Area } from './config-area.js';
import { filePathOf, isGiven, variablesOf } from './config-area.js';
import { ACCESS_KEY_FIELDS } from './access-keys.js';
import { MODEL_ENTRY_FIELDS } from './model-entries.js';
import type { RecordField } from './record-kind.js';
import type { AnySetting } from './setting.js';

const HEAD = `# Configuration

<!-- Made from src/config by \`safelight docs --write\`; do not edit. -->

Everything has a default: no file is needed. Settings come from, the later ones winning:

1. the defaults below,
2. one YAML file: \`--config FILE\`, else \`SAFELIGHT_CONFIG\`, else \`./safelight.yaml\` when it is there,
3. environment variables as named below (an empty one counts as not set; lists are separated by commas),
4. options of the command line.

They are read once, at start. What cannot be is refused there with file, line, value and what is allowed, all of it at once,
and exit code 78. An unknown key in the file is an error; an unknown variable of a section below is a warning. \`safelight
doctor\` shows what was read from where. \`safelight.example.yaml\` is a file to begin with.
`;

/** The reference page of all settings, from their declarations. */
export function configurationPage(): string {
  return [HEAD, ...DECLARED_AREAS.map(([, area]) => renderArea(area))].join('\n');
}

function renderArea(area: Area): string {
  const rows = Object.entries(area.fields).map(([name, setting]) => [
    code(filePathOf(area, name).join('.')),
    setting.meaning,
    setting.kind.allowed,
    defaultOf(setting),
    variablesCell(area, name),
  ]);
  const parts = [
    `## ${area.title}`,
    '',
    area.about,
    '',
    table(['Setting', 'Meaning', 'Allowed', 'Default', 'Variable'], rows),
  ];
  for (const { field, allowed } of area.rules ?? []) {
    parts.push('', `${code(filePathOf(area, field).join('.'))} must be ${allowed}.`);
  }
  if ('entries' in area.fields) parts.push('', 'Each model has:', '', recordTable(MODEL_ENTRY_FIELDS));
  if ('keys' in area.fields) parts.push('', 'Each key has:', '', recordTable(ACCESS_KEY_FIELDS));
  return `${parts.join('\n')}\n`;
}

function recordTable(fields: Readonly<Record<string, RecordField>>): string {
  const rows = Object.entries(fields).map(([name, { kind, meaning, fallback }]) => [
    code(name),
    meaning,
    kind.allowed,
    fallback === undefined ? 'must be given' : fallback === null ? 'none' : code(JSON.stringify(fallback)),
  ]);
  return table(['Field', 'Meaning', 'Allowed', 'Default'], rows);
}

function defaultOf(setting: AnySetting): string {
  return isGiven(setting) ? code(JSON.stringify(setting.default).replaceAll('"', '')) : setting.defaultText;
}

function variablesCell(area: Area, name: string): string {
  const variables = variablesOf(area, name);
  return variables.length === 0 ? '–' : variables.toReversed().map(code).join(', else ');
}

const code = (text: string) => `\`${text}\``;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
