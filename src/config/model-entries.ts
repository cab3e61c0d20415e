import type { Complaint, Kind, Reading } from './kinds.js';
import { choice, flag, path, text } from './kinds.js';

/** Architecture groups. The domain has the same list; a test compares the two, because this folder imports nothing. */
export const MODEL_FAMILIES = ['sd15', 'sdxl', 'sd3', 'flux', 'other'] as const;
export const MODEL_DTYPES = ['float32', 'float16', 'bfloat16'] as const;

/** A model to serve. */
export interface ModelEntry {
  readonly id: string;
  /** Absolute path of a folder in the diffusers layout. */
  readonly source: string;
  /** Null: told by the folder. */
  readonly family: (typeof MODEL_FAMILIES)[number] | null;
  /** Null: the worker's default for its device. */
  readonly dtype: (typeof MODEL_DTYPES)[number] | null;
  /** Infix of the weight files, such as `fp16`; null: none. */
  readonly variant: string | null;
  readonly default: boolean;
}

const ALLOWED = 'a list of models, each with id and source';
const ENTRY = 'a model with id and source, and optionally family, dtype, variant and default';

/** Fields of an entry. `fallback` undefined: the field must be there. */
const ENTRY_FIELDS = {
  id: entryField(
    text({
      pattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
      allowed: '1 to 128 letters, digits, dots, dashes and underscores, beginning with a letter or digit',
    }),
    'Name that requests use.',
  ),
  source: entryField(
    path('a folder in the diffusers layout'),
    'Where the model lies; relative paths count from the folder of the file.',
  ),
  family: entryField(choice(MODEL_FAMILIES), 'Architecture group; told by `model_index.json` when left out.', null),
  dtype: entryField(
    choice(MODEL_DTYPES),
    'Precision it runs in; the choice of the worker for its device when left out.',
    null,
  ),
  variant: entryField(
    text({ pattern: /^[A-Za-z0-9._-]+$/, allowed: 'the infix of the weight files, such as fp16' }),
    'Infix of the weight files, such as `fp16`.',
    null,
  ),
  default: entryField(
    flag(),
    'Serve requests that name no model. At most one; without one it is the first of the list, or else the embedded model.',
    false,
  ),
};

function entryField<T, D>(
  kind: Kind<T>,
  meaning: string,
  fallback?: D,
): { kind: Kind<unknown>; meaning: string; fallback: D | undefined } {
  return { kind, meaning, fallback };
}

/** For the reference page. */
export const MODEL_ENTRY_FIELDS: Readonly<Record<string, { kind: Kind<unknown>; meaning: string; fallback: unknown }>> =
  ENTRY_FIELDS;

export const modelEntries: Kind<readonly ModelEntry[]> = {
  allowed: ALLOWED,
  fromText: String,
  read: (value, baseDir) => {
    if (!Array.isArray(value)) return { ok: false, complaints: [{ at: [], value, allowed: ALLOWED }] };
    const readings = value.map((entry: unknown) => readEntry(entry, baseDir));
    const complaints: Complaint[] = readings.flatMap((reading, index) =>
      reading.ok ? [] : reading.complaints.map((complaint) => ({ ...complaint, at: [index, ...complaint.at] })),
    );
    const entries = readings.flatMap((reading) => (reading.ok ? [reading.value] : []));
    if (complaints.length === 0) complaints.push(...disagreements(entries));
    return complaints.length === 0 ? { ok: true, value: entries } : { ok: false, complaints };
  },
};

function readEntry(entry: unknown, baseDir: string): Reading<ModelEntry> {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry))
    return { ok: false, complaints: [{ at: [], value: entry, allowed: ENTRY }] };
  const complaints: Complaint[] = [];
  const names = Object.keys(ENTRY_FIELDS);
  for (const key of Object.keys(entry)) {
    if (!names.includes(key))
      complaints.push({ at: [key], value: key, allowed: `one of ${names.join(', ')}`, unknownKey: true });
  }
  const values: Record<string, unknown> = {};
  for (const [name, { kind, fallback }] of Object.entries(ENTRY_FIELDS)) {
    const raw: unknown = Reflect.get(entry, name);
    if (raw === undefined || (raw === null && fallback !== undefined)) {
      if (fallback === undefined) complaints.push({ at: [], value: entry, allowed: `${ENTRY}; ${name} is missing` });
      values[name] = fallback;
      continue;
    }
    const reading = kind.read(raw, baseDir);
    if (reading.ok) values[name] = reading.value;
    else complaints.push(...reading.complaints.map((complaint) => ({ ...complaint, at: [name, ...complaint.at] })));
  }
  return complaints.length === 0 ? { ok: true, value: values as unknown as ModelEntry } : { ok: false, complaints };
}

/** What is wrong between entries that are right by themselves. */
function disagreements(entries: readonly ModelEntry[]): Complaint[] {
  return entries.flatMap((entry, index) => {
    const before = entries.slice(0, index);
    const complaints: Complaint[] = [];
    if (before.some(({ id }) => id === entry.id))
      complaints.push({ at: [index, 'id'], value: entry.id, allowed: 'an id that no other model has' });
    if (entry.default && before.some((other) => other.default))
      complaints.push({ at: [index, 'default'], value: true, allowed: 'true for one model only' });
    return complaints;
  });
}
