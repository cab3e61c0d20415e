import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { ConfigError } from './config-error.js';
import type { LoadOptions } from './load-settings.js';
import { loadSettings } from './load-settings.js';
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
    const bodies = { bodyLimitBytes: 1024 * 1024, maxBodyBytes: 64 * 1024 * 1024 };
    expect(settings.http).toMatchObject({ host: '127.0.0.1', port: 8720, ...bodies, corsOrigins: [] });
    expect(settings.access).toMatchObject({ keys: [], apiKey: null, allowWithoutKeys: false });
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
    expect(models.entries[0]).toMatchObject({ id: 'a', source: join(cwd, '..', 'a'), family: null, default: false });
  });

  it('must be there when it was asked for', () => {
    const absent = { where: 'absent.yaml', message: 'there is no such file', allowed: null };
    expect(problemsOf(null, { configFile: 'absent.yaml' })).toEqual([absent]);
    expect(problemsOf(null, { env: { SAFELIGHT_CONFIG: 'absent.yaml' } })).toEqual([absent]);
  });
});

describe('the environment', () => {
  it('overrides the file, and the command line overrides both', () => {
    const env = { SAFELIGHT_HTTP_PORT: '9001', SAFELIGHT_HTTP_HOST: '127.0.0.2', SAFELIGHT_NODE_NAME: 'n1' };
    const overrides = [{ setting: 'http.port', text: '9002', option: '--port' }];
    const settings = load('http:\n  port: 9000\n', { env, overrides });
    expect(settings.http).toMatchObject({ host: '127.0.0.2', port: 9002 });
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

  it('may name the database, whose address is never repeated', () => {
    const url = 'postgres://me:hidden@db/jobs';
    expect(load(null, { env: { DATABASE_URL: url } }).database.url).toBe(url);
    const problems = problemsOf(null, { env: { DATABASE_URL: 'mysql://me:hidden@db/jobs' } });
    expect(problems).toEqual([expect.objectContaining({ where: 'DATABASE_URL' })]);
    expect(JSON.stringify(problems)).not.toContain('hidden');
  });
});

it('a class fills in the defaults of its area', () => {
  expect(new QueueConfig()).toEqual({ maxWaiting: 1000, timeBudgetMs: 30_000 });
  expect(new QueueConfig({ maxWaiting: 3 }).maxWaiting).toBe(3);
});

it('has an example file that shows the defaults and is right when its comment signs are taken away', () => {
  const example = readFileSync(fileURLToPath(new URL('../../safelight.example.yaml', import.meta.url)), 'utf8');
  const yaml = example.replaceAll(/^# (?=( *- | *)[a-z_]+:( |$))/gm, '');
  const settings = load(yaml);
  const { models, storage, ...others } = load('');
  expect(settings).toMatchObject({ ...others, sources: {} });
  expect(settings.storage).toEqual(load('data_dir: ~/.local/share/safelight').storage);
  expect(settings.models.embedded).toBe(models.embedded);
  expect(settings.models.entries).toMatchObject([
    { id: 'sdxl', pinned: true, loras: [{}], controlnets: [{}], ipAdapters: [{}] },
    { id: 'painter', config: '/srv/models/stable-diffusion-v1-5', keepAliveMs: 600_000 },
    { id: 'flux', source: 'black-forest-labs/FLUX.1-dev', quantization: { backend: 'torchao' }, memory: {} },
  ]);
  expect(settings.sources.origins.length).toBeGreaterThan(8);
  expect(storage.dataDir).toBe('/home/ada/.local/share/safelight');
});
