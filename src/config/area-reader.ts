import type { Area } from './config-area.js';
import { filePathOf, isDerived, isGiven, variablesOf } from './config-area.js';
import type { ConfigProblem } from './config-error.js';
import { HIDDEN, shown } from './config-error.js';
import { didYouMean } from './did-you-mean.js';
import type { Complaint } from './kinds.js';
import type { AnySetting } from './setting.js';
import type { Override, SettingOrigin } from './settings.js';
import type { YamlSource } from './yaml-source.js';

export interface Sources {
  readonly file: YamlSource | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly overrides: readonly Override[];
  readonly cwd: string;
  readonly homeDir: string;
  readonly hostName: string;
}

/** One source's word on a setting. */
interface Given {
  readonly raw: unknown;
  /** Folder that relative paths count from. */
  readonly baseDir: string;
  readonly from: string;
  readonly whereIs: (complaint: Complaint) => string;
}

/** Reads areas from their sources and collects what is wrong, so that all of it is told at once. */
export class AreaReader {
  readonly problems: ConfigProblem[] = [];
  readonly origins: SettingOrigin[] = [];

  constructor(private readonly sources: Sources) {}

  /** Values of an area. Where {@link problems} has grown they are not to be used. */
  read(area: Area): Record<string, unknown> {
    const values: Record<string, unknown> = {};
    const origins = new Map<string, string>();
    const before = this.problems.length;
    for (const [name, setting] of Object.entries(area.fields)) {
      const path = filePathOf(area, name);
      values[name] = this.fallback(setting, values);
      // Later sources win, but a wrong value is told wherever it stands: it would surprise once the other one goes.
      for (const given of this.given(area, name, setting, path)) {
        const reading = setting.kind.read(given.raw, given.baseDir);
        if (reading.ok) {
          values[name] = reading.value;
          origins.set(name, given.from);
        } else {
          this.problems.push(...reading.complaints.map((complaint) => problemOf(path, complaint, given, setting)));
        }
      }
    }
    for (const [name, from] of origins) this.origins.push({ setting: filePathOf(area, name).join('.'), from });
    if (this.problems.length === before) this.checkRules(area, values, origins);
    return values;
  }

  private fallback(setting: AnySetting, known: Record<string, unknown>): unknown {
    if (isGiven(setting)) return setting.default;
    return isDerived(setting) ? setting.derive({ ...this.sources, known }) : undefined;
  }

  private given(area: Area, name: string, setting: AnySetting, path: readonly string[]): Given[] {
    const { file, env, overrides, cwd } = this.sources;
    const found: Given[] = [];
    if (file !== null) {
      const raw = valueAt(file.values, path);
      const whereIs = ({ at, unknownKey }: Complaint) => file.whereIs([...path, ...at], unknownKey ? 'key' : 'value');
      if (raw !== undefined) found.push({ raw, baseDir: file.dir, from: file.whereIs(path, 'value'), whereIs });
    }
    for (const variable of variablesOf(area, name)) {
      const text = env[variable];
      // Compose files and unit files pass on what is not set as empty.
      if (text === undefined || text === '') continue;
      found.push({ raw: setting.kind.fromText(text), baseDir: cwd, from: variable, whereIs: () => variable });
    }
    for (const { setting: named, text: value, option } of overrides) {
      if (named !== path.join('.')) continue;
      found.push({ raw: setting.kind.fromText(value), baseDir: cwd, from: option, whereIs: () => option });
    }
    return found;
  }

  private checkRules(area: Area, values: Record<string, unknown>, origins: ReadonlyMap<string, string>): void {
    for (const { field, holds, allowed } of area.rules ?? []) {
      if (holds(values)) continue;
      // The named field may be a default that another value made impossible.
      const where = origins.get(field) ?? [...origins.values()][0] ?? 'defaults';
      const setting = filePathOf(area, field).join('.');
      const message = `${setting} is ${area.fields[field]?.secret ? HIDDEN : shown(values[field])}`;
      this.problems.push({
        where,
        setting,
        message,
        allowed,
        nextStep: `change ${setting} or the setting it is bound to`,
      });
    }
  }
}

function problemOf(path: readonly string[], complaint: Complaint, given: Given, { secret }: AnySetting): ConfigProblem {
  const setting = [...path, ...complaint.at].join('.');
  const where = given.whereIs(complaint);
  if (complaint.unknownKey)
    return unknownKeyProblem(where, setting, complaint.allowed.replace('one of ', '').split(', '));
  const message = `${setting} is ${secret ? HIDDEN : shown(complaint.value)}`;
  return {
    where,
    setting,
    message,
    allowed: complaint.allowed,
    nextStep: 'change the value, or remove it to get the default',
  };
}

/** A key that is no setting. */
export function unknownKeyProblem(where: string, setting: string, known: readonly string[]): ConfigProblem {
  const key = setting.slice(setting.lastIndexOf('.') + 1);
  const meant = didYouMean(key, known);
  return {
    where,
    setting,
    message:
      meant === null ? `there is no setting ${setting}` : `there is no setting ${setting}; did you mean ${meant}?`,
    allowed: known.join(', '),
    nextStep: meant === null ? 'remove the line' : `write ${meant}`,
  };
}

function valueAt(values: Readonly<Record<string, unknown>>, path: readonly string[]): unknown {
  let value: unknown = values;
  for (const key of path) {
    // A section that is no map is told by whoever looks at the keys.
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = Reflect.get(value, key);
  }
  return value;
}
