import { describe, expect, it } from '@jest/globals';
import { choosePython, pythonCandidates } from '../../scripts/bootstrap/find-python.mjs';
import { compareVersions, isWithin, parseVersion } from '../../scripts/bootstrap/versions.mjs';

const python = (version: string, torch?: string, venv = true) => ({
  version,
  executable: `/python-${version}`,
  prefix: '/usr',
  torch: torch === undefined ? null : { version: torch, folder: '/site-packages' },
  venv,
});

describe('parseVersion', () => {
  it.each([
    ['3.11.7', [3, 11, 7]],
    ['Python 3.13.0rc2', [3, 13, 0]],
    ['v20.20.2', [20, 20, 2]],
    ['2.13.0+cpu', [2, 13, 0]],
    ['none', undefined],
  ])('%s', (text, numbers) => {
    expect(parseVersion(text)).toEqual(numbers);
  });
});

describe('compareVersions and isWithin', () => {
  it('compares numbers, not letters', () => {
    expect(compareVersions([3, 9], [3, 10])).toBeLessThan(0);
    expect(isWithin('3.9.18', '3.10')).toBe(false);
    expect(isWithin('3.10.0', '3.10')).toBe(true);
  });

  it('leaves the upper end out', () => {
    expect(isWithin('2.13.1', '2.11', '2.14')).toBe(true);
    expect(isWithin('2.14.0', '2.11', '2.14')).toBe(false);
  });

  it('is false for what is no version', () => {
    expect(isWithin('unknown', '3.10')).toBe(false);
  });
});

describe('pythonCandidates', () => {
  it('is the one asked for and no other', () => {
    expect(pythonCandidates({ SAFELIGHT_PYTHON: '/opt/python', VIRTUAL_ENV: '/venv' })).toEqual(['/opt/python']);
  });

  it('starts with the active environment', () => {
    expect(pythonCandidates({ VIRTUAL_ENV: '/venv' })[0]).toBe('/venv/bin/python');
  });

  it('ignores empty variables', () => {
    expect(pythonCandidates({ SAFELIGHT_PYTHON: '', VIRTUAL_ENV: '' })[0]).toBe('python3');
  });
});

describe('choosePython', () => {
  it('prefers the one that brings a torch we run on', () => {
    expect(choosePython([python('3.11.7'), python('3.12.1', '2.12.0+cu130')])?.version).toBe('3.12.1');
  });

  it('does not prefer a torch we do not run on', () => {
    expect(choosePython([python('3.11.7'), python('3.12.1', '2.4.0')])?.version).toBe('3.11.7');
  });

  it('prefers a version that was tried over a newer one', () => {
    expect(choosePython([python('3.14.0'), python('3.11.7')])?.version).toBe('3.11.7');
  });

  it('takes a newer one when there is no other', () => {
    expect(choosePython([python('3.9.1'), python('3.14.0')])?.version).toBe('3.14.0');
  });

  it('takes none that is too old or cannot make environments', () => {
    expect(choosePython([python('3.9.18', '2.13.0'), python('3.11.2', undefined, false)])).toBeUndefined();
  });
});
