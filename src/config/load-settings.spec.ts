import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { PIPELINE_FAMILIES } from '../domain/generation/pipeline-family.js';
import { ConfigError } from './config-error.js';
import type { LoadOptions } from './load-settings.js';
import { loadSettings } from './load-settings.js';
import { MODEL_FAMILIES } from './model-entries.js';
import { QueueConfig } from './queue.config.js';

let cwd: string;

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'safelight-config-'));
});

afterEach(() => {
  rmSync(cwd, { recursive: true, force: true });
});

function load(yaml: string | null, options: LoadOptions = {}) {
  if (yaml !== null) writeFileSync(join(cwd, 'safelight.yaml'), yaml);
  return loadSettings({ cwd, env: {}, homeDir: '/home/ada', hostName: 'box', ...options });
}

function problemsOf(yaml: string | null, options: LoadOptions = {}) {
  try {
    load(yaml, options);
  } catch (error) {
    if (error instanceof ConfigError)
      return error.problems.map(({ where, message, allowed }) => ({ where, message, allowed }));
    throw error;
  }
  return [];
}

describe('without a file', () => {
  it('has a default for everything', () => {
    const settings = load(null);
    expect(settings.storage).toEqual({
      dataDir: '/home/ada/.local/share/safelight',
      artifactsDir: '/home/ada/.local/share/safelight/artifacts',
    });
    expect(settings.node.name).toBe('box');
    expect(settings.http).toEqual({ host: '127.0.0.1', port: 8720, bodyLimitBytes: 1024 * 1024 });
    expect(settings.workers.python).toBeNull();
    expect(settings.models).toEqual({ entries: [], embedded: true });
    expect(settings.sources).toEqual({ configFile: null, origins: [] });
    expect(settings.warnings).toEqual([]);
  });

  it('keeps data where XDG_DATA_HOME says', () => {
    expect(load(null, { env: { XDG_DATA_HOME: '/data' } }).storage.dataDir).toBe('/data/safelight');
  });
});

describe('a file', () => {
  it('is found in the current folder and tells where each value stands', () => {
    const settings = load('http:\n  port: 9000\n');
    expect(settings.http.port).toBe(9000);
    expect(settings.sources.configFile).toBe(join(cwd, 'safelight.yaml'));
    expect(settings.sources.origins).toEqual([{ setting: 'http.port', from: 'safelight.yaml:2:9' }]);
  });

  it('may be empty, or hold sections whose lines are all commented out', () => {
    expect(load('').http.port).toBe(8720);
    expect(load('http:\n#  port: 1\n').http.port).toBe(8720);
  });

  it('has its paths taken from its own folder', () => {
    const { storage, workers, models } = load(
      'data_dir: here\nworkers:\n  python: venv/bin/python\nmodels:\n  - { id: a, source: ../a }\n',
    );
    expect(storage.artifactsDir).toBe(join(cwd, 'here', 'artifacts'));
    expect(workers.python).toBe(join(cwd, 'venv/bin/python'));
    expect(models.entries[0]).toEqual({
      id: 'a',
      source: join(cwd, '..', 'a'),
      family: null,
      dtype: null,
      variant: null,
      default: false,
    });
  });

  it.each<[string, string, { where: string; message: string; allowed?: string }[]]>([
    [
      'a value out of range',
      'queue:\n  max_waiting: 0\n',
      [
        {
          where: 'safelight.yaml:2:16',
          message: 'queue.max_waiting is 0',
          allowed: 'a whole number from 1 to 1000000',
        },
      ],
    ],
    ['text for a number', 'http:\n  port: "80"\n', [{ where: 'safelight.yaml:2:9', message: 'http.port is "80"' }]],
    ['a fraction', 'http:\n  port: 80.5\n', [{ where: 'safelight.yaml:2:9', message: 'http.port is 80.5' }]],
    [
      'an unknown word',
      'log: { level: loud }\n',
      [
        {
          where: 'safelight.yaml:1:15',
          message: 'log.level is "loud"',
          allowed: 'one of trace, debug, info, warn, error, silent',
        },
      ],
    ],
    [
      'a mistyped key',
      'http:\n  host: localhost\n  prot: 80\n',
      [
        {
          where: 'safelight.yaml:3:3',
          message: 'there is no setting http.prot; did you mean port?',
          allowed: 'host, port, body_limit_bytes',
        },
      ],
    ],
    [
      'a mistyped section',
      'quue: {}\n',
      [{ where: 'safelight.yaml:1:1', message: 'there is no setting quue; did you mean queue?' }],
    ],
    [
      'a key that resembles none',
      'colour: red\n',
      [{ where: 'safelight.yaml:1:1', message: 'there is no setting colour' }],
    ],
    ['a section that is no map', 'http: 80\n', [{ where: 'safelight.yaml:1:7', message: 'http is 80' }]],
    [
      'a device that is none',
      'devices: { ids: [gpu] }\n',
      [{ where: 'safelight.yaml:1:17', message: 'devices.ids is ["gpu"]' }],
    ],
    [
      'the same device twice',
      'devices: { ids: [cpu:0, cpu:0] }\n',
      [{ where: 'safelight.yaml:1:17', message: 'devices.ids is ["cpu:0","cpu:0"]' }],
    ],
    [
      'two settings that exclude each other',
      'retry:\n  backoff_base_ms: 60000\n',
      [
        {
          where: 'safelight.yaml:2:20',
          message: 'retry.backoff_cap_ms is 30000',
          allowed: 'at least retry.backoff_base_ms',
        },
      ],
    ],
    [
      'a model without a source',
      'models:\n  - id: a\n',
      [
        {
          where: 'safelight.yaml:2:5',
          message: 'models.0 is {"id":"a"}',
          allowed: 'a model with id and source, and optionally family, dtype, variant and default; source is missing',
        },
      ],
    ],
    [
      'a mistyped key of a model',
      'models:\n  - id: a\n    source: /a\n    dtyp: float16\n',
      [{ where: 'safelight.yaml:4:5', message: 'there is no setting models.0.dtyp; did you mean dtype?' }],
    ],
    [
      'two models of one id',
      'models:\n  - { id: a, source: /a }\n  - { id: a, source: /b }\n',
      [{ where: 'safelight.yaml:3:11', message: 'models.1.id is "a"', allowed: 'an id that no other model has' }],
    ],
    [
      'two default models',
      'models:\n  - { id: a, source: /a, default: true }\n  - { id: b, source: /b, default: true }\n',
      [{ where: 'safelight.yaml:3:35', message: 'models.1.default is true' }],
    ],
    [
      'a model that has the id of the embedded one',
      'models:\n  - { id: shapes, source: /a }\n',
      [
        {
          where: 'safelight.yaml:2:3',
          message: expect.stringContaining('models is [{"id":"shapes"') as unknown as string,
        },
      ],
    ],
    ['no model at all', 'embedded_model: false\n', [{ where: 'safelight.yaml:1:17', message: 'models is []' }]],
    [
      'broken YAML',
      'http:\n  port: [1\n',
      [
        {
          where: 'safelight.yaml:3:1',
          message: expect.stringContaining('this is not valid YAML') as unknown as string,
        },
      ],
    ],
    [
      'a key that stands twice',
      'log: {}\nlog: {}\n',
      [
        {
          where: 'safelight.yaml:2:1',
          message: expect.stringContaining('this is not valid YAML') as unknown as string,
        },
      ],
    ],
    ['a list', '- a\n', [{ where: 'safelight.yaml:1:1', message: 'the file holds no settings' }]],
  ])('is refused for %s', (_, yaml, expected) => {
    expect(problemsOf(yaml)).toEqual(expected.map((problem) => expect.objectContaining(problem)));
  });

  it('is refused with all its problems at once, each with its next step', () => {
    const yaml = 'data_dri: x\nhttp:\n  port: 99999\nqueue:\n  max_waiting: many\n';
    expect(problemsOf(yaml).map(({ where }) => where)).toEqual([
      'safelight.yaml:1:1',
      'safelight.yaml:3:9',
      'safelight.yaml:5:16',
    ]);
    expect(() => load(yaml)).toThrow(
      [
        'The configuration has 3 problems.',
        '',
        '  safelight.yaml:1:1: there is no setting data_dri; did you mean data_dir?',
      ].join('\n'),
    );
    expect(() => load(yaml)).toThrow(
      [
        '  safelight.yaml:3:9: http.port is 99999',
        '    allowed: a whole number from 0 to 65535',
        '    next:    change the value, or remove it to get the default',
      ].join('\n'),
    );
  });

  it('must be there when it was asked for', () => {
    const absent = { where: 'absent.yaml', message: 'there is no such file', allowed: null };
    expect(problemsOf(null, { configFile: 'absent.yaml' })).toEqual([absent]);
    expect(problemsOf(null, { env: { SAFELIGHT_CONFIG: 'absent.yaml' } })).toEqual([absent]);
  });
});

describe('the environment', () => {
  it('overrides the file, and the command line overrides both', () => {
    const env = { SAFELIGHT_HTTP_PORT: '9001', SAFELIGHT_HTTP_HOST: '0.0.0.0', SAFELIGHT_NODE_NAME: 'n1' };
    const overrides = [{ setting: 'http.port', text: '9002', option: '--port' }];
    const settings = load('http:\n  port: 9000\n', { env, overrides });
    expect(settings.http).toMatchObject({ host: '0.0.0.0', port: 9002 });
    expect(settings.node.name).toBe('n1');
    expect(settings.sources.origins).toEqual([
      { setting: 'node_name', from: 'SAFELIGHT_NODE_NAME' },
      { setting: 'http.host', from: 'SAFELIGHT_HTTP_HOST' },
      { setting: 'http.port', from: '--port' },
    ]);
  });

  it('sets lists, flags and paths', () => {
    const env = {
      SAFELIGHT_DEVICES_IDS: 'cuda:0, cuda:1',
      SAFELIGHT_WORKERS_PRELOAD: 'no',
      SAFELIGHT_DATA_DIR: 'data',
    };
    const settings = load(null, { env });
    expect(settings.devices.ids).toEqual(['cuda:0', 'cuda:1']);
    expect(settings.workers.preload).toBe(false);
    expect(settings.storage.dataDir).toBe(join(cwd, 'data'));
  });

  it('is refused with the name of the variable', () => {
    const env = { SAFELIGHT_HTTP_PORT: 'http', SAFELIGHT_WORKERS_PRELOAD: 'maybe' };
    expect(problemsOf(null, { env })).toEqual([
      { where: 'SAFELIGHT_HTTP_PORT', message: 'http.port is "http"', allowed: 'a whole number from 0 to 65535' },
      { where: 'SAFELIGHT_WORKERS_PRELOAD', message: 'workers.preload is "maybe"', allowed: 'true or false' },
    ]);
  });

  it('counts an empty variable as not set', () => {
    expect(load(null, { env: { SAFELIGHT_HTTP_PORT: '', DATABASE_URL: '' } }).http.port).toBe(8720);
  });

  it('warns of an unknown variable of a known section, and leaves those of others alone', () => {
    const env = {
      SAFELIGHT_HTTP_PROT: '1',
      SAFELIGHT_SKIP_BOOTSTRAP: '1',
      SAFELIGHT_PYTHON: 'x',
      SAFELIGHT_SERVER: 'y',
    };
    expect(load(null, { env }).warnings).toEqual([
      'SAFELIGHT_HTTP_PROT is no setting and was ignored; did you mean SAFELIGHT_HTTP_PORT?',
    ]);
  });

  it('may not name a database that this version would not use', () => {
    expect(problemsOf(null, { env: { DATABASE_URL: 'postgres://db' } })).toEqual([
      expect.objectContaining({ where: 'DATABASE_URL', message: expect.stringContaining('embedded database') }),
    ]);
  });
});

it('a class fills in the defaults of its area', () => {
  expect(new QueueConfig()).toEqual({ maxWaiting: 1000 });
  expect(new QueueConfig({ maxWaiting: 3 }).maxWaiting).toBe(3);
});

it('knows the same model families as the domain', () => {
  expect(MODEL_FAMILIES).toEqual(PIPELINE_FAMILIES);
});

it('has an example file that shows the defaults and is right when its comment signs are taken away', () => {
  const example = readFileSync(fileURLToPath(new URL('../../safelight.example.yaml', import.meta.url)), 'utf8');
  const yaml = example.replaceAll(/^# (?=( *- | *)[a-z_]+:( |$))/gm, '');
  const settings = load(yaml);
  const { models, storage, ...others } = load('');
  expect(settings).toMatchObject({ ...others, sources: {} });
  expect(settings.storage).toEqual(load('data_dir: ~/.local/share/safelight').storage);
  expect(settings.models.embedded).toBe(models.embedded);
  expect(settings.sources.origins.length).toBeGreaterThan(8);
  expect(storage.dataDir).toBe('/home/ada/.local/share/safelight');
});
