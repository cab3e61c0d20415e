import { describe, expect, it } from '@jest/globals';

import { ROLES } from '../domain/access/role.js';
import { accessKeys, KEY_ROLES } from './access-keys.js';
import { ConfigError } from './config-error.js';
import { loadSettings } from './load-settings.js';

const SHA256 = 'ab'.repeat(32);

const load = (env: Record<string, string>) =>
  loadSettings({ cwd: '/nowhere', env, homeDir: '/home/ada', hostName: 'box' });

function problemsOf(env: Record<string, string>) {
  try {
    load(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('a server without keys', () => {
  it.each(['127.0.0.1', '127.8.0.1', '::1', 'localhost'])('listens on %s', (host) => {
    expect(load({ SAFELIGHT_HTTP_HOST: host }).http.host).toBe(host);
  });

  it.each(['0.0.0.0', '::', '192.168.1.5', 'gpu-box'])('does not listen on %s', (host) => {
    expect(problemsOf({ SAFELIGHT_HTTP_HOST: host })).toMatchObject([
      { where: 'SAFELIGHT_HTTP_HOST', setting: 'http.host', nextStep: expect.stringContaining('safelight keys new') },
    ]);
  });

  it('listens anywhere once there is a key, or when told so', () => {
    const host = { SAFELIGHT_HTTP_HOST: '0.0.0.0' };
    expect(load({ ...host, SAFELIGHT_ACCESS_API_KEY: 'sixteen-letters-' }).http.host).toBe('0.0.0.0');
    expect(load({ ...host, SAFELIGHT_ACCESS_ALLOW_WITHOUT_KEYS: 'true' }).http.host).toBe('0.0.0.0');
  });
});

describe('keys in the settings', () => {
  it('have the roles of the domain', () => {
    expect(KEY_ROLES).toEqual(ROLES);
  });

  it('never show the one that is given in the clear', () => {
    const [problem] = problemsOf({ SAFELIGHT_ACCESS_API_KEY: 'short' });
    expect(JSON.stringify(problem)).not.toContain('short');
  });

  it.each([
    [
      'an id twice',
      [
        { id: 'a', sha256: SHA256 },
        { id: 'a', sha256: 'cd'.repeat(32) },
      ],
      1,
      'id',
    ],
    [
      'a hash twice',
      [
        { id: 'a', sha256: SHA256 },
        { id: 'b', sha256: SHA256 },
      ],
      1,
      'sha256',
    ],
    ['a key in the place of its hash', [{ id: 'a', sha256: 'sl_secret' }], 0, 'sha256'],
    ['an unknown role', [{ id: 'a', sha256: SHA256, role: 'root' }], 0, 'role'],
  ])('%s is refused', (_what, keys, index, field) => {
    const reading = accessKeys.read(keys, '/');
    expect(reading).toMatchObject({ ok: false, complaints: [{ at: [index, field] }] });
  });
});
