import { existsSync } from 'node:fs';
import { homedir, hostname } from 'node:os';
import { resolve } from 'node:path';

import type { AreaName, ConfigAreas } from './areas.js';
import { CONFIG_AREAS, DECLARED_AREAS } from './areas.js';
import { AreaReader } from './area-reader.js';
import type { ConfigProblem } from './config-error.js';
import { ConfigError } from './config-error.js';
import { openDoor } from './open-door.js';
import { unknownKeys } from './unknown-keys.js';
import { unknownVariables } from './unknown-variables.js';
import type { Override, Settings } from './settings.js';
import type { YamlSource } from './yaml-source.js';
import { readYaml } from './yaml-source.js';

export interface LoadOptions {
  /** A file that must be there; absent: SAFELIGHT_CONFIG, else ./safelight.yaml when it is there. */
  readonly configFile?: string | undefined;
  /** Values given on the command line, by setting (`http.port`), with the option that gave them. They win over all. */
  readonly overrides?: readonly Override[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly homeDir?: string;
  readonly hostName?: string;
}

const DEFAULT_FILE = 'safelight.yaml';

/**
 * Reads all settings: defaults, then the file, then the environment, then the command line.
 * @throws ConfigError with every problem of every source
 */
export function loadSettings(options: LoadOptions = {}): Settings {
  const env = options.env ?? process.env;
  const cwd = options.cwd ?? process.cwd();
  const problems: ConfigProblem[] = [];
  const configFile = findFile(options.configFile ?? env['SAFELIGHT_CONFIG'], cwd);
  let file: YamlSource | null = null;
  if (configFile !== null) {
    const reading = readYaml(configFile, cwd);
    if (reading.ok) file = reading.source;
    else problems.push(...reading.problems);
  }
  if (file !== null) problems.push(...unknownKeys(file));

  const reader = new AreaReader({
    file,
    env,
    cwd,
    overrides: options.overrides ?? [],
    homeDir: options.homeDir ?? homedir(),
    hostName: options.hostName ?? hostname(),
  });
  const areas: Partial<Record<AreaName, unknown>> = {};
  for (const [name, area] of DECLARED_AREAS) {
    const Config = CONFIG_AREAS[name] as new (values: Record<string, unknown>) => unknown;
    areas[name] = new Config(reader.read(area));
  }
  problems.push(...reader.problems);
  if (problems.length > 0) throw new ConfigError(problems);
  const open = openDoor(areas as unknown as ConfigAreas, reader.origins);
  if (open !== null) throw new ConfigError([open]);
  return {
    ...(areas as unknown as Omit<Settings, 'sources' | 'warnings'>),
    sources: { configFile, origins: reader.origins },
    warnings: unknownVariables(env),
  };
}

function findFile(demanded: string | undefined, cwd: string): string | null {
  if (demanded !== undefined && demanded !== '') return resolve(cwd, demanded);
  const file = resolve(cwd, DEFAULT_FILE);
  return existsSync(file) ? file : null;
}
