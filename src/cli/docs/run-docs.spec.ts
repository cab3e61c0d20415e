import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, it } from '@jest/globals';

import { configurationPage } from '../../config/reference-page.js';
import { runDocs } from './run-docs.js';

let root: string;
const lines: string[] = [];
const terminal = { out: (text: string) => void lines.push(text), err: (text: string) => void lines.push(text) };

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'safelight-docs-'));
  lines.length = 0;
});

afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

it('tells a page that is not up to date, and mends it when asked to', async () => {
  let text = 'one';
  const pages = [{ path: 'docs/page.md', render: () => text }];
  expect(await runDocs(terminal, pages, root, false)).toBe(1);
  expect(await runDocs(terminal, pages, root, true)).toBe(0);
  expect(readFileSync(join(root, 'docs/page.md'), 'utf8')).toBe('one');
  expect(await runDocs(terminal, pages, root, false)).toBe(0);
  text = 'two';
  expect(await runDocs(terminal, pages, root, false)).toBe(1);
  expect(lines.at(-1)).toBe('docs/page.md is not up to date. Next: safelight docs --write');
});

it('the page of settings has a row for each, with its range, default and variable', () => {
  const page = configurationPage();
  expect(page).toContain(
    '| `http.port` | TCP port to listen on; 0 takes any free one. | a whole number from 0 to 65535 | `8720` | `SAFELIGHT_HTTP_PORT` |',
  );
  expect(page).toContain('| `<data_dir>/artifacts` | `SAFELIGHT_ARTIFACTS_DIR` |');
  expect(page).toContain('`retry.backoff_cap_ms` must be at least retry.backoff_base_ms.');
});
