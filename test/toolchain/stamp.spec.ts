import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { filesBelow, fingerprint } from '../../scripts/bootstrap/fingerprint.mjs';
import { dropStamp, readStamp, writeStamp } from '../../scripts/bootstrap/stamp.mjs';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'safelight-stamp-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const write = (name: string, content: string) => {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, content);
  return path;
};
const now = () => fingerprint(folder, filesBelow(folder));

describe('fingerprint', () => {
  it('changes with a content of the same length', () => {
    write('a.ts', 'one');
    const before = now();
    write('a.ts', 'two');
    expect(now()).not.toBe(before);
  });

  it('changes when a file is added, renamed or removed', () => {
    const path = write('a.ts', 'one');
    const first = now();
    write('deep/b.ts', '');
    const second = now();
    rmSync(path);
    write('c.ts', 'one');
    expect(new Set([first, second, now()]).size).toBe(3);
  });

  it('stays when only the time changes, as after a checkout', () => {
    const path = write('a.ts', 'one');
    const before = now();
    utimesSync(path, 1, 1);
    expect(now()).toBe(before);
  });

  it('does not confuse where one file ends and the next begins', () => {
    write('a', 'xy');
    write('b', '');
    const before = now();
    write('a', 'x');
    write('b', 'y');
    expect(now()).not.toBe(before);
  });

  it('depends on the values beside the files', () => {
    expect(fingerprint(folder, [], ['linux'])).not.toBe(fingerprint(folder, [], ['darwin']));
  });

  it('takes a missing file and a missing folder for empty', () => {
    expect(filesBelow(join(folder, 'nowhere'))).toEqual([]);
    expect(fingerprint(folder, [join(folder, 'nothing')])).toBe(fingerprint(folder, [join(folder, 'nothing')]));
  });
});

describe('stamp', () => {
  it('is read back with what was noted beside the fingerprint', () => {
    writeStamp(folder, { fingerprint: 'abc', metadata: ['/x'] });
    expect(readStamp(folder)).toEqual({ fingerprint: 'abc', metadata: ['/x'] });
  });

  it('goes with the folder it vouches for', () => {
    const built = join(folder, 'dist');
    writeStamp(built, { fingerprint: 'abc' });
    rmSync(built, { recursive: true });
    expect(readStamp(built)).toBeUndefined();
  });

  it('is gone once dropped, and dropping twice is fine', () => {
    writeStamp(folder, { fingerprint: 'abc' });
    dropStamp(folder);
    dropStamp(folder);
    expect(readStamp(folder)).toBeUndefined();
  });

  it.each(['', '{', 'null', '{"fingerprint":7}'])('counts as none when it holds %j', (text) => {
    write('.safelight-stamp.json', text);
    expect(readStamp(folder)).toBeUndefined();
  });
});
