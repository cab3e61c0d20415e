import { readFile } from 'node:fs/promises';

import { FAILURE_KINDS } from '../../domain/failure/failure-kind.js';
import { ERROR_CODES } from './error-codes.js';
import { errorReferencePage } from './error-reference.js';

describe('errorReferencePage', () => {
  it('explains every code and every failure kind', () => {
    const page = errorReferencePage();
    for (const code of ERROR_CODES) expect(page).toContain(`### ${code}\n`);
    for (const kind of FAILURE_KINDS) expect(page).toContain(`| \`${kind}\` `);
  });

  it('is what docs/errors.md holds', async () => {
    expect(await readFile(new URL('../../../docs/errors.md', import.meta.url), 'utf8')).toBe(errorReferencePage());
  });
});
