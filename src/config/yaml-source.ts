import { readFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';

import type { Document, Node } from 'yaml';
import { isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';

import type { ConfigProblem } from './config-error.js';

type Key = string | number;

/** A settings file that was read: its values, and where in the text each of them stands. */
export interface YamlSource {
  /** As a person would type it from the current folder. */
  readonly name: string;
  /** Folder that relative paths in the file count from. */
  readonly dir: string;
  readonly values: Readonly<Record<string, unknown>>;
  /** `file:line:column` of a value, or of its key; of the nearest enclosing one when there is none. */
  whereIs(path: readonly Key[], what: 'value' | 'key'): string;
}

type YamlReading =
  | { readonly ok: true; readonly source: YamlSource }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** Reads a settings file whose existence was established or demanded. */
export function readYaml(file: string, cwd: string): YamlReading {
  const near = relative(cwd, file);
  const name = near === '' || near.startsWith('..') ? file : near;
  const refuse = (where: string, message: string, nextStep: string): YamlReading => ({
    ok: false,
    problems: [{ where, setting: null, message, allowed: null, nextStep }],
  });
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    const message = code === 'ENOENT' ? 'there is no such file' : `the file cannot be read (${code})`;
    return refuse(name, message, 'name a settings file that can be read with --config or SAFELIGHT_CONFIG');
  }
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = counter.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  const broken = [...document.errors, ...document.warnings];
  if (broken.length > 0) {
    const problems = broken.map(({ pos, message }) => ({
      where: at(pos[0]),
      setting: null,
      message: `this is not valid YAML: ${message}`,
      allowed: null,
      nextStep: 'mend the line; indentation is spaces only, and every key stands once',
    }));
    return { ok: false, problems };
  }
  // An empty file is null, and as good as no settings.
  const values: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  if (typeof values !== 'object' || Array.isArray(values)) {
    return refuse(
      `${name}:1:1`,
      'the file holds no settings',
      'write one setting a line, such as `data_dir: /srv/safelight`',
    );
  }
  const source: YamlSource = {
    name,
    dir: dirname(file),
    values: values as Record<string, unknown>,
    whereIs: (path, what) => at(offsetOf(document, path, what)),
  };
  return { ok: true, source };
}

function offsetOf(document: Document, path: readonly Key[], what: 'value' | 'key'): number {
  for (let length = path.length; length > 0; length -= 1) {
    const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const offset = offsetIn(parent, path[length - 1], length === path.length ? what : 'value');
    if (offset !== null) return offset;
  }
  return 0;
}

function offsetIn(parent: unknown, key: Key | undefined, what: 'value' | 'key'): number | null {
  if (isSeq(parent) && typeof key === 'number') return startOf(parent.items[key]);
  if (!isMap(parent)) return null;
  const pair = parent.items.find((item) => isScalar(item.key) && item.key.value === key);
  if (pair === undefined) return null;
  return (what === 'value' ? startOf(pair.value) : null) ?? startOf(pair.key);
}

function startOf(node: unknown): number | null {
  return isNode(node) ? ((node as Node).range?.[0] ?? null) : null;
}
