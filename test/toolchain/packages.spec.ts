import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { installEnvironment, missingPackages } from '../../scripts/bootstrap/node-packages.mjs';
import { followPip, readRequirements } from '../../scripts/bootstrap/pip.mjs';
import { halfInstalled, isIntact, isOtherPython } from '../../scripts/bootstrap/python-packages.mjs';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'safelight-packages-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const lay = (name: string, files: string[]) => {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  for (const file of files) writeFileSync(join(path, file), '');
  return path;
};

describe('Node packages', () => {
  it('misses what was deleted or left empty', () => {
    lay('rxjs', ['package.json']);
    lay('@nestjs/core', []);
    const manifest = { dependencies: { rxjs: '1', '@nestjs/core': '1' }, devDependencies: { jest: '1' } };
    expect(missingPackages(folder, manifest)).toEqual(['@nestjs/core', 'jest']);
  });

  it('installs development packages also in a production shell, with a Node from outside', () => {
    const env = installEnvironment({
      PATH: '/repo/node_modules/.bin:/usr/bin',
      NODE_ENV: 'production',
      HOME: '/home/me',
    });
    expect(env).toEqual({ PATH: '/usr/bin', NODE_ENV: 'development', HOME: '/home/me' });
  });
});

describe('Python packages', () => {
  it('finds what pip did not finish', () => {
    lay('whole-1.0.dist-info', ['METADATA', 'RECORD', 'INSTALLER']);
    lay('cut-1.0.dist-info', ['METADATA']);
    lay('~orch', []);
    lay('numpy', ['__init__.py']);
    expect(halfInstalled(folder).map((path) => basename(path))).toEqual(['cut-1.0.dist-info', '~orch']);
  });

  it('is intact only when every package has its record', () => {
    const whole = lay('whole-1.0.dist-info', ['RECORD']);
    const cut = lay('cut-1.0.dist-info', ['METADATA']);
    expect(isIntact([whole])).toBe(true);
    expect(isIntact([whole, cut])).toBe(false);
    expect(isIntact([])).toBe(false);
  });

  it.each([
    ['keeps what is there when none is asked for', undefined, '/opt/python', false],
    ['keeps what was made from the one asked for', '/opt/python', '/opt/python', false],
    ['starts anew for another', '/opt/python', '', true],
    ['starts anew when it is not known what it was made from', '/opt/python', undefined, true],
    ['takes an empty variable for none', '', '/opt/python', false],
  ])('%s', (_, asked, madeFrom, other) => {
    expect(isOtherPython(asked, madeFrom)).toBe(other);
  });
});

describe('readRequirements', () => {
  it('reads pins and leaves comments, options and markers out', () => {
    const text =
      '# torch\n-r other.txt\nnumpy==2.4.6; python_version >= "3.11"\n  pillow==13.0.0  # images\n\nloose>=1\n';
    expect(readRequirements(text)).toEqual([
      { name: 'numpy', version: '2.4.6' },
      { name: 'pillow', version: '13.0.0' },
    ]);
  });
});

describe('followPip', () => {
  it('tells what pip is busy with and how much it has fetched', () => {
    const follow = followPip();
    const told = [
      'Looking in links: /somewhere',
      'Collecting numpy==2.4.6 (from -r requirements.txt (line 9))',
      '  Downloading numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl (16.5 MB)',
      '  Downloading tiny-1.0-py3-none-any.whl.metadata (5.5 kB)',
      'Requirement already satisfied: pillow',
      'Installing collected packages: numpy, tiny',
    ].map(follow);
    expect(told).toEqual([
      undefined,
      'numpy',
      'numpy 16.5 MB, 17 MB so far',
      'tiny 5.5 kB, 17 MB so far',
      undefined,
      'unpacking 2 packages, 17 MB so far',
    ]);
  });
});
