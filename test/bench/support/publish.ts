import { readFileSync, writeFileSync } from 'node:fs';

/** Replaces what stands in a page between `<!-- NAME: … -->` and `<!-- /NAME -->`, the only part of it that is made. */
export function publish(page: string, name: string, text: string): void {
  const before = readFileSync(page, 'utf8');
  const begin = before.indexOf(`<!-- ${name}`);
  const afterBegin = before.indexOf('-->', begin) + 3;
  const end = before.indexOf(`<!-- /${name} -->`, afterBegin);
  if (begin < 0 || end < 0) throw new Error(`${page} has no place marked ${name}`);
  writeFileSync(page, `${before.slice(0, afterBegin)}\n\n${text.trim()}\n\n${before.slice(end)}`);
}
