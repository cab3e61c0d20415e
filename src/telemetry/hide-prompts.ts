import type { Bindings, Logger } from 'pino';
import { stdSerializers } from 'pino';

import type { GenerationRequest } from '../domain/generation/generation-request.js';

/** What stands where a prompt stood. */
export const HIDDEN_PROMPT = '[prompt hidden]';

/** Fields that hold a prompt, whatever it is. */
const PROMPT_FIELDS: ReadonlySet<string> = new Set(['prompt', 'negative_prompt', 'prompt_2', 'negative_prompt_2']);

/** Shorter ones tell nothing, and hiding them would spoil lines that only happen to hold the word. */
const SHORTEST_HIDDEN = 4;

/** A value as JSON, with prompts hidden. */
export type Hide = <T>(value: T) => T;

/**
 * Hides the prompts of a request wherever they stand: in fields of their names, and inside other texts, such as what a library
 * says of its input, or a traceback that quotes it. A text that only resembles a prompt, because somebody cut or re-coded it,
 * is not recognised.
 */
export function promptHider({ prompt, negative_prompt }: Pick<GenerationRequest, 'prompt' | 'negative_prompt'>): Hide {
  const pattern = patternOf([prompt, negative_prompt]);
  const inText = (text: string) => (pattern === null ? text : text.replace(pattern, HIDDEN_PROMPT));
  return (value) => hidden(value, inText) as typeof value;
}

/** A log with these fields, in whose lines the prompts of a request are hidden. */
export function hidingPrompts(log: Logger, fields: Bindings, request: Parameters<typeof promptHider>[0]): Logger {
  // The formatter makes plain values of errors before their serialiser comes, which would call each an Object.
  const serializers = { err: (error: unknown) => error };
  return log.child(fields, { formatters: { log: promptHider(request) }, serializers });
}

function patternOf(prompts: readonly string[]): RegExp | null {
  // Whole, as JSON and most languages quote it, and line by line: messages often show the first line alone.
  const forms = prompts.flatMap((text) => [text, JSON.stringify(text).slice(1, -1), ...text.split(/\r?\n/)]);
  const telling = [...new Set(forms.map((form) => form.trim()))].filter((form) => form.length >= SHORTEST_HIDDEN);
  if (telling.length === 0) return null;
  // The longest first: one may be part of another.
  const longestFirst = telling.toSorted((one, other) => other.length - one.length).map(escaped);
  return new RegExp(`(?<![\\p{L}\\p{N}])(?:${longestFirst.join('|')})(?![\\p{L}\\p{N}])`, 'giu');
}

function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
}

function hidden(value: unknown, inText: (text: string) => string): unknown {
  if (typeof value === 'string') return inText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((entry) => hidden(entry, inText));
  const isError = value instanceof Error;
  // Dates, bytes and exact numbers are no place for prompts, and would not survive.
  if (!isError && Object.getPrototypeOf(value) !== Object.prototype) return value;
  const facts = isError ? stdSerializers.err(value) : value;
  return Object.fromEntries(
    Object.entries(facts)
      // The serialiser keeps the error itself, for other serialisers.
      .filter(([name]) => name !== 'raw')
      .map(([name, entry]) => [name, PROMPT_FIELDS.has(name) && entry ? HIDDEN_PROMPT : hidden(entry, inText)]),
  );
}
