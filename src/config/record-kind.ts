import type { Complaint, Kind, Reading } from './kinds.js';
import { accept, refuse } from './kinds.js';

/** A key of a map: what may stand there, what it means, and what stands there otherwise; undefined: it must be given. */
export interface RecordField<T = unknown> {
  readonly kind: Kind<T>;
  readonly meaning: string;
  readonly fallback: unknown;
}

export function recordField<T>(kind: Kind<T>, meaning: string, fallback?: unknown): RecordField<T> {
  return { kind, meaning, fallback };
}

const camelCase = (key: string) => key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/**
 * A map with known keys, in snake_case; its value has them in camelCase, with the fallbacks filled in. An unknown key is
 * refused: a typing mistake must not be a silent default.
 */
export function recordOf<T>(fields: Readonly<Record<string, RecordField>>, allowed: string): Kind<T> {
  const names = Object.keys(fields);
  return {
    allowed,
    fromText: String,
    read: (value, baseDir) => {
      if (!isMap(value)) return refuse(value, allowed);
      const complaints: Complaint[] = Object.keys(value)
        .filter((key) => !names.includes(key))
        .map((key) => ({ at: [key], value: key, allowed: `one of ${names.join(', ')}`, unknownKey: true }));
      const values: Record<string, unknown> = {};
      for (const [name, { kind, fallback }] of Object.entries(fields)) {
        const raw = value[name];
        if (raw === undefined || (raw === null && fallback !== undefined)) {
          if (fallback === undefined) complaints.push({ at: [], value, allowed: `${allowed}; ${name} is missing` });
          values[camelCase(name)] = fallback;
          continue;
        }
        const reading = kind.read(raw, baseDir);
        if (reading.ok) values[camelCase(name)] = reading.value;
        else complaints.push(...below(name, reading.complaints));
      }
      return complaints.length === 0 ? accept(values as T) : { ok: false, complaints };
    },
  };
}

/** A map from names to values of one kind, such as options of a library. */
export function mapOf<T>(key: { pattern: RegExp; allowed: string }, inner: Kind<T>): Kind<Readonly<Record<string, T>>> {
  const allowed = `a map from ${key.allowed} to ${inner.allowed}`;
  return {
    allowed,
    fromText: String,
    read: (value, baseDir) => {
      if (!isMap(value)) return refuse(value, allowed);
      const complaints: Complaint[] = [];
      const values: Record<string, T> = {};
      for (const [name, raw] of Object.entries(value)) {
        if (!key.pattern.test(name)) complaints.push({ at: [name], value: name, allowed: key.allowed });
        const reading = inner.read(raw, baseDir);
        if (reading.ok) values[name] = reading.value;
        else complaints.push(...below(name, reading.complaints));
      }
      return complaints.length === 0 ? accept(values) : { ok: false, complaints };
    },
  };
}

/** A list; `disagreements` tells what is wrong between items that are right by themselves. */
export function listOf<T>(
  inner: Kind<T>,
  allowed: string,
  disagreements: (items: readonly T[]) => readonly Complaint[] = () => [],
): Kind<readonly T[]> {
  return {
    allowed,
    fromText: String,
    read: (value, baseDir) => {
      if (!Array.isArray(value)) return refuse(value, allowed);
      const readings: Reading<T>[] = value.map((item: unknown) => inner.read(item, baseDir));
      const complaints = readings.flatMap((reading, index) => (reading.ok ? [] : below(index, reading.complaints)));
      const items = readings.flatMap((reading) => (reading.ok ? [reading.value] : []));
      if (complaints.length === 0) complaints.push(...disagreements(items));
      return complaints.length === 0 ? accept(items) : { ok: false, complaints };
    },
  };
}

/** Complaint about each item whose id an earlier one has. */
export function repeatedIds(items: readonly { readonly id: string }[], allowed: string): Complaint[] {
  return items.flatMap(({ id }, index) =>
    items.slice(0, index).some((other) => other.id === id) ? [{ at: [index, 'id'], value: id, allowed }] : [],
  );
}

function below(key: string | number, complaints: readonly Complaint[]): Complaint[] {
  return complaints.map((complaint) => ({ ...complaint, at: [key, ...complaint.at] }));
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
