import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { ConfigError } from './config-error.js';
import { loadSettings } from './load-settings.js';

let cwd: string;

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'safelight-config-'));
});

afterEach(() => {
  rmSync(cwd, { recursive: true, force: true });
});

function load(yaml: string) {
  writeFileSync(join(cwd, 'safelight.yaml'), yaml);
  return loadSettings({ cwd, env: {}, homeDir: '/home/ada', hostName: 'box' });
}

function problemsOf(yaml: string) {
  try {
    load(yaml);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('a settings file', () => {
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
          allowed: 'host, port, body_limit_bytes, max_body_bytes, request_timeout_ms, public_url, cors_origins',
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
          allowed: 'a model with id and source; source is missing',
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
});
