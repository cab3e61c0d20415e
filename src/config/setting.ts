import type { Kind } from './kinds.js';

/** One setting: what may stand there, what stands there otherwise, and what it means. Everything else is made from this. */
export interface Setting<T> {
  readonly kind: Kind<T>;
  /** For the reference page; unit, special values and effect. */
  readonly meaning: string;
  /** Key in the file when it is not the field's name in snake_case. */
  readonly key?: string;
  /** False: too structured for an environment variable. */
  readonly env?: false;
  /** A variable that outsiders know the setting by: read as well, and ours wins. */
  readonly commonEnv?: string;
  /** True: its value is never shown, not even when it is wrong. */
  readonly secret?: true;
}

export interface GivenSetting<T> extends Setting<T> {
  readonly default: T;
}

/** A setting whose default depends on the machine or on other settings. */
export interface DerivedSetting<T> extends Setting<T> {
  readonly derive: (surroundings: Surroundings) => T;
  /** The rule in words, for the reference page. */
  readonly defaultText: string;
}

/** What derived defaults may depend on. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
  readonly hostName: string;
  /** Values of the area that are known already, in the order of declaration. */
  readonly known: Readonly<Record<string, unknown>>;
}

export type AnySetting = GivenSetting<unknown> | DerivedSetting<unknown>;

type Extras = Pick<Setting<unknown>, 'key' | 'env' | 'commonEnv' | 'secret'>;

export function given<T>(kind: Kind<T>, value: NoInfer<T>, meaning: string, extras: Extras = {}): GivenSetting<T> {
  return { kind, default: value, meaning, ...extras };
}

export function derived<T>(
  kind: Kind<T>,
  fallback: { readonly text: string; readonly of: (surroundings: Surroundings) => NoInfer<T> },
  meaning: string,
  extras: Extras = {},
): DerivedSetting<T> {
  return { kind, derive: fallback.of, defaultText: fallback.text, meaning, ...extras };
}
