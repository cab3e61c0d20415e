import { createHash } from 'node:crypto';

import { expect, it } from '@jest/globals';
import { parse } from 'yaml';

import { accessKeys } from '../../config/access-keys.js';
import { runProgram } from '../program.js';

async function run(...argv: readonly string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const terminal = { out: (line: string) => void out.push(line), err: (line: string) => void err.push(line) };
  const code = await runProgram(argv, terminal as unknown as Parameters<typeof runProgram>[1]);
  return { code, out: out.join('\n'), err: err.join('\n') };
}

it('prints the key on stdout, and on stderr an entry the settings take, which does not tell it', async () => {
  const { code, out, err } = await run('keys', 'new', 'ci', '--role', 'monitor');
  expect(code).toBe(0);
  expect(out).toMatch(/^sl_[A-Za-z0-9_-]{43}$/);
  expect(err).not.toContain(out);
  const { access } = parse(err.slice(err.indexOf('access:\n'))) as { access: { keys: unknown } };
  expect(accessKeys.read(access.keys, '/')).toMatchObject({
    ok: true,
    value: [{ id: 'ci', role: 'monitor', sha256: createHash('sha256').update(out).digest('hex') }],
  });
});

it('never gives the same key twice', async () => {
  expect((await run('keys', 'new', 'ci')).out).not.toBe((await run('keys', 'new', 'ci')).out);
});

it('refuses a name that no key may have, and an unknown role', async () => {
  expect(await run('keys', 'new', 'No Name')).toMatchObject({ code: 2, out: '' });
  expect(await run('keys', 'new', 'ci', '--role', 'root')).toMatchObject({ code: 2, out: '' });
});
