import { homedir } from 'node:os';
import { resolve } from 'node:path';

/** Something that may not stand where it stands. */
export interface Complaint {
  /** Keys from the setting's value down to the culprit; empty: the value itself. */
  readonly at: readonly (string | number)[];
  readonly value: unknown;
  /** What may stand there instead, completing the sentence "allowed is …". */
  readonly allowed: string;
  /** True when the key is at fault and not its value. */
  readonly unknownKey?: boolean;
}

export type Reading<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly complaints: readonly Complaint[] };

/** What may stand at a place in the file or in a variable. */
export interface Kind<T> {
  /** For errors and the reference page. */
  readonly allowed: string;
  /** Checks a value of the file. Paths are taken from `baseDir`. */
  read(value: unknown, baseDir: string): Reading<T>;
  /** Turns the text of a variable or an option into what the file would hold. */
  fromText(text: string): unknown;
}

export const accept = <T>(value: T): Reading<T> => ({ ok: true, value });
export const refuse = (value: unknown, allowed: string): Reading<never> => ({
  ok: false,
  complaints: [{ at: [], value, allowed }],
});

function kind<T>(
  allowed: string,
  read: (value: unknown, baseDir: string) => T | undefined,
  fromText: (text: string) => unknown = String,
): Kind<T> {
  return {
    allowed,
    fromText,
    read: (value, baseDir) => {
      const result = read(value, baseDir);
      return result === undefined ? refuse(value, allowed) : accept(result);
    },
  };
}

export function integer(range: { min: number; max: number }): Kind<number> {
  const fits = (value: unknown): value is number =>
    Number.isInteger(value) && Number(value) >= range.min && Number(value) <= range.max;
  return kind(
    `a whole number from ${range.min} to ${range.max}`,
    (value) => (fits(value) ? value : undefined),
    (text) => (/^[+-]?\d+$/.test(text.trim()) ? Number(text) : text),
  );
}

/** A share of a whole. */
export function ratio(): Kind<number> {
  const fits = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= 1;
  return kind(
    'a number from 0 to 1',
    (value) => (fits(value) ? value : undefined),
    (text) => (/^\d*\.?\d+$/.test(text.trim()) ? Number(text) : text),
  );
}

export function flag(): Kind<boolean> {
  const words: Readonly<Record<string, boolean>> = {
    true: true,
    '1': true,
    yes: true,
    false: false,
    '0': false,
    no: false,
  };
  return kind(
    'true or false',
    (value) => (typeof value === 'boolean' ? value : undefined),
    (text) => words[text.trim().toLowerCase()] ?? text,
  );
}

export function choice<const T extends string>(values: readonly T[]): Kind<T> {
  return kind(`one of ${values.join(', ')}`, (value) => values.find((allowed) => allowed === value));
}

export function text(rule: { pattern: RegExp; allowed: string }): Kind<string> {
  return kind(rule.allowed, (value) => (typeof value === 'string' && rule.pattern.test(value) ? value : undefined));
}

/** A path; relative ones count from the folder of the file that names them, `~/` from the home folder. */
export function path(what: string): Kind<string> {
  return kind(`the path of ${what}`, (value, baseDir) =>
    typeof value === 'string' && value !== '' ? absolute(value, baseDir) : undefined,
  );
}

/** A program: a path, or a bare name that the system looks for in its PATH. */
export function program(what: string): Kind<string> {
  return kind(`the path or the name of ${what}`, (value, baseDir) => {
    if (typeof value !== 'string' || value === '') return undefined;
    return value.includes('/') ? absolute(value, baseDir) : value;
  });
}

/** Null stands for "none". */
export function orNull<T>(inner: Kind<T>): Kind<T | null> {
  return {
    allowed: `${inner.allowed}, or null`,
    read: (value, baseDir) => (value === null ? accept(null) : inner.read(value, baseDir)),
    fromText: (given) => (given === 'null' ? null : inner.fromText(given)),
  };
}

function absolute(value: string, baseDir: string): string {
  return value === '~' || value.startsWith('~/') ? resolve(homedir(), value.slice(2)) : resolve(baseDir, value);
}
