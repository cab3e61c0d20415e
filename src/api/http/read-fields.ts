import type { z } from 'zod';

import type { FieldProblem } from '../../jobs/submit/generation-input.js';
import { didYouMean } from '../../config/did-you-mean.js';
import { issueProblem } from './issue-problem.js';

export type Shape = Readonly<Record<string, z.ZodType>>;
export type Fields<S extends Shape> = { -readonly [K in keyof S]?: z.output<S[K]> };

/** A stranger may send a million unknown fields; those told are enough to see the mistake. */
const MAX_UNKNOWN = 20;

/**
 * Reads an object field by field, so that the good fields are at hand even when others are bad and all problems can be told
 * at once. A field that is absent is absent from the result; whether it may be is up to its schema.
 */
export function readFields<S extends Shape>(
  shape: S,
  given: Readonly<Record<string, unknown>>,
  prefix = '',
): { fields: Fields<S>; problems: FieldProblem[] } {
  const fields: Record<string, unknown> = {};
  const problems: FieldProblem[] = [];
  for (const [name, schema] of Object.entries(shape)) {
    const value = Object.hasOwn(given, name) ? given[name] : undefined;
    const result = schema.safeParse(value);
    if (!result.success)
      problems.push(...result.error.issues.map((issue) => issueProblem(issue, prefix + name, value)));
    else if (result.data !== undefined) fields[name] = result.data;
  }
  const known = Object.keys(shape);
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(shape, name));
  for (const name of unknown.slice(0, MAX_UNKNOWN)) {
    const meant = didYouMean(name, known);
    const message = meant === null ? 'is not known' : `is not known; did you mean ${meant}?`;
    problems.push({ field: prefix + name.slice(0, 80).toWellFormed(), message, value: given[name], limit: known });
  }
  return { fields: fields as Fields<S>, problems };
}

/** The fields a shape names, for dialects whose servers pass over every other one. */
export function knownFields(shape: Shape, given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(given).filter(([name]) => Object.hasOwn(shape, name)));
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
