import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { ConfigError } from './config-error.js';
import { loadSettings } from './load-settings.js';
import { configurationPage } from './reference-page.js';

const OURS = 'postgres://safelight@ours/jobs';
const COMMON = 'postgres://safelight@common/jobs';

describe('the address of the database', () => {
  let cwd: string;

  beforeAll(() => {
    cwd = mkdtempSync(join(tmpdir(), 'safelight-database-config-'));
  });
  afterAll(() => rmSync(cwd, { recursive: true }));

  const load = (env: Record<string, string>) => loadSettings({ cwd, env, homeDir: '/home/ada', hostName: 'box' });

  it.each([
    ['the variable others know', { DATABASE_URL: COMMON }, COMMON, 'DATABASE_URL'],
    ['our own', { SAFELIGHT_DATABASE_URL: OURS }, OURS, 'SAFELIGHT_DATABASE_URL'],
    ['our own before it', { DATABASE_URL: COMMON, SAFELIGHT_DATABASE_URL: OURS }, OURS, 'SAFELIGHT_DATABASE_URL'],
    ['it where ours is empty', { DATABASE_URL: COMMON, SAFELIGHT_DATABASE_URL: '' }, COMMON, 'DATABASE_URL'],
  ])('is read from %s', (_, env, url, from) => {
    const settings = load(env);

    expect(settings.database.url).toBe(url);
    expect(settings.sources.origins).toEqual([{ setting: 'database.url', from }]);
    expect(settings.warnings).toEqual([]);
  });

  it('is refused under the name it was given by, and not repeated', () => {
    const refused = () => load({ DATABASE_URL: COMMON, SAFELIGHT_DATABASE_URL: 'mysql://me:hidden@db/jobs' });

    expect(refused).toThrow(ConfigError);
    expect(refused).toThrow(/SAFELIGHT_DATABASE_URL/);
    expect(refused).not.toThrow(/hidden/);
  });

  it('stands in the reference with both names, ours first', () => {
    expect(configurationPage()).toContain('| `SAFELIGHT_DATABASE_URL`, else `DATABASE_URL` |');
  });
});
