import type { z } from 'zod';

import type { FieldProblem } from '../../jobs/submit/generation-input.js';
import { didYouMean } from '../../config/did-you-mean.js';

type Issue = z.core.$ZodIssue;

/** zod's names of types that JSON calls otherwise. */
const JSON_TYPES: Readonly<Record<string, string>> = { int: 'integer', record: 'object' };

/** A finding of zod as a field problem: what is wrong, and what would be accepted. */
export function issueProblem(issue: Issue, field: string, given: unknown): FieldProblem {
  const value = issue.path.reduce(childOf, given);
  const name = issue.path.reduce<string>(nameOf, field).slice(0, 160).toWellFormed();
  const { message, limit } = explained(issue, value);
  return { field: name, message, value, limit };
}

function nameOf(parent: string, key: PropertyKey): string {
  return typeof key === 'number' ? `${parent}[${key}]` : `${parent}.${String(key)}`;
}

function childOf(parent: unknown, key: PropertyKey): unknown {
  const holds = typeof parent === 'object' && parent !== null && Object.hasOwn(parent, key);
  return holds ? (parent as Record<PropertyKey, unknown>)[key] : undefined;
}

function explained(issue: Issue, value: unknown): { message: string; limit: unknown } {
  switch (issue.code) {
    case 'invalid_type': {
      const type = JSON_TYPES[issue.expected] ?? issue.expected;
      if (value === undefined) return { message: 'is required', limit: { type } };
      if (typeof value === 'bigint')
        return { message: 'is beyond every limit', limit: { max: Number.MAX_SAFE_INTEGER } };
      if (typeof value === 'number' && !Number.isFinite(value))
        return { message: 'must be a finite number', limit: { type } };
      return { message: `must be ${article(type)}`, limit: { type } };
    }
    case 'invalid_value': {
      const meant = typeof value === 'string' ? didYouMean(value, issue.values.map(String)) : null;
      const hint = meant === null ? '' : `; did you mean ${meant}?`;
      return { message: `must be one of ${issue.values.map(String).join(', ')}${hint}`, limit: issue.values };
    }
    case 'too_big':
      return { message: `must be at most ${amount(issue.maximum, issue.origin)}`, limit: { max: issue.maximum } };
    case 'too_small':
      return { message: `must be at least ${amount(issue.minimum, issue.origin)}`, limit: { min: issue.minimum } };
    case 'invalid_union':
      return { message: 'must be a boolean, a number or a string', limit: { type: ['boolean', 'number', 'string'] } };
    case 'unrecognized_keys':
      return { message: `has unknown fields: ${issue.keys.slice(0, 5).join(', ')}`, limit: null };
    case 'custom':
      return { message: issue.message, limit: issue.params?.limit ?? null };
    default:
      return { message: issue.message, limit: null };
  }
}

function article(type: string): string {
  const words: Readonly<Record<string, string>> = {
    integer: 'a whole number',
    boolean: 'true or false',
    array: 'a list',
    object: 'an object',
  };
  return words[type] ?? `a ${type}`;
}

function amount(bound: number | bigint, origin: string): string {
  const units: Record<string, string> = { string: ' characters long', array: ' entries long' };
  return `${bound}${units[origin] ?? ''}`;
}
