import { DECLARED_AREAS } from './areas.js';
import { HIDDEN } from './config-error.js';
import { filePathOf } from './config-area.js';
import type { Settings } from './settings.js';

/** Facts that are no setting of their own and nobody else's business: whoever knows a hash can try keys against it. */
const SECRET_FIELDS: ReadonlySet<string> = new Set(['sha256']);

/** The settings in force, in the shape of the file. Secrets say only whether they are there; addresses lose their passwords. */
export function shownSettings(settings: Settings): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  for (const [name, area] of DECLARED_AREAS) {
    const values = settings[name] as unknown as Readonly<Record<string, unknown>>;
    for (const [field, { secret }] of Object.entries(area.fields)) {
      const value = values[field];
      place(shown, filePathOf(area, field), secret && value !== null ? HIDDEN : showable(value));
    }
  }
  return shown;
}

function place(into: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [key = '', ...rest] = path;
  if (rest.length === 0) into[key] = value;
  else place((into[key] ??= {}) as Record<string, unknown>, rest, value);
}

function showable(value: unknown): unknown {
  if (typeof value === 'string') return withoutPassword(value);
  if (Array.isArray(value)) return value.map(showable);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]) => [
      snakeCase(name),
      SECRET_FIELDS.has(name) && entry !== null ? HIDDEN : showable(entry),
    ]),
  );
}

/** What stands before the host, or behind a question mark, may be a password. */
function withoutPassword(text: string): string {
  if (!/^[a-z][a-z\d+.-]*:\/\//i.test(text) || !URL.canParse(text)) return text;
  const url = new URL(text);
  if (url.password === '' && url.username === '' && url.search === '') return text;
  if (url.password !== '') url.password = '***';
  else if (url.username !== '') url.username = '***';
  if (url.search !== '') url.search = '?***';
  return url.href;
}

const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
