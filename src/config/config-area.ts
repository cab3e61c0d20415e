import type { AnySetting, DerivedSetting, GivenSetting, Setting } from './setting.js';

export type Fields = Readonly<Record<string, AnySetting>>;
type ValueOf<S> = S extends Setting<infer T> ? T : never;
export type Values<F> = { readonly [K in keyof F]: ValueOf<F[K]> };
type KeysOf<F, Shape> = { [K in keyof F]: F[K] extends Shape ? K : never }[keyof F];
/** Settings with a fixed default may be left out. */
export type Initial<F> = Partial<Values<Pick<F, KeysOf<F, { default: unknown }>>>> &
  Values<Pick<F, KeysOf<F, { derive: unknown }>>>;

/** A demand on several settings at once. */
export interface Rule<F> {
  /** The field that is named in the error. */
  readonly field: keyof F & string;
  readonly holds: (values: Values<F>) => boolean;
  readonly allowed: string;
}

/** One area of the configuration, as declared. */
export interface Area<F extends Fields = Fields> {
  /** Key in the file; null: its settings stand at the top level. */
  readonly section: string | null;
  readonly title: string;
  readonly about: string;
  readonly fields: F;
  readonly rules?: readonly Rule<F>[];
}

export interface ConfigClass<F extends Fields> {
  readonly area: Area<F>;
  new (...values: {} extends Initial<F> ? [Initial<F>?] : [Initial<F>]): Values<F>;
}

/**
 * Makes the class of an area: read-only fields of the declared types, defaults filled in. It serves as the injection token,
 * so that who needs one area asks for that area and sees no other. Values are taken as they are: loadSettings checks them.
 */
export function configArea<const F extends Fields>(area: Area<F>): ConfigClass<F> {
  class ConfigArea {
    static readonly area = area;

    constructor(values: Readonly<Record<string, unknown>> = {}) {
      for (const [name, setting] of Object.entries(area.fields)) {
        const value = values[name] === undefined && isGiven(setting) ? setting.default : values[name];
        Object.defineProperty(this, name, { value, enumerable: true });
      }
    }
  }
  return ConfigArea as unknown as ConfigClass<F>;
}

export function isGiven(setting: AnySetting): setting is GivenSetting<unknown> {
  return 'default' in setting;
}

export function isDerived(setting: AnySetting): setting is DerivedSetting<unknown> {
  return 'derive' in setting;
}

const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Where a setting stands in the file. */
export function filePathOf(area: Area, name: string): readonly string[] {
  const key = area.fields[name]?.key ?? snakeCase(name);
  return area.section === null ? [key] : [area.section, key];
}

/** The variables that override a setting, the later ones winning. */
export function variablesOf(area: Area, name: string): readonly string[] {
  const { env, commonEnv } = area.fields[name] ?? {};
  if (env === false) return [];
  const own = `SAFELIGHT_${filePathOf(area, name).join('_').toUpperCase()}`;
  return commonEnv === undefined ? [own] : [commonEnv, own];
}
