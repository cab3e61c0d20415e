import { z } from 'zod';

import type { JobState } from '../../domain/job/job-state.js';
import { JOB_STATES } from '../../domain/job/job-state.js';
import { PRIORITIES } from '../../domain/job/priority.js';
import type { JobFilter } from '../../jobs/ports/job-store.port.js';
import { didYouMean } from '../../config/did-you-mean.js';
import { invalidFields } from '../http/problem.js';
import { readFields } from '../http/read-fields.js';
import { text } from './dto/field-types.js';
import { isJobId } from './job-id.js';

export const DEFAULT_LIMIT = 50;
export const MAX_LIMIT = 200;

/** Told apart from a bare id, so that a page may one day begin elsewhere. */
const CURSOR_PREFIX = 'before:';

const states = z.union([z.string(), z.array(z.string())]).transform((value, context) => {
  const words = [value].flat().flatMap((part) => part.split(','));
  const wrong = words.find((word) => !JOB_STATES.includes(word as JobState));
  if (wrong === undefined) return [...new Set(words as JobState[])];
  const meant = didYouMean(wrong, JOB_STATES);
  const hint = meant === null ? '' : `; did you mean ${meant}?`;
  const message = `must be one or more of ${JOB_STATES.join(', ')}${hint}`;
  context.addIssue({ code: 'custom', message, params: { limit: JOB_STATES } });
  return z.NEVER;
});

const limit = z.string().transform((value, context) => {
  const number = /^\d{1,4}$/.test(value) ? Number(value) : 0;
  if (number >= 1 && number <= MAX_LIMIT) return number;
  const params = { limit: { min: 1, max: MAX_LIMIT } };
  context.addIssue({ code: 'custom', message: `must be a whole number from 1 to ${MAX_LIMIT}`, params });
  return z.NEVER;
});

const cursor = z.string().transform((value, context) => {
  const decoded = Buffer.from(value, 'base64url').toString();
  const id = decoded.startsWith(CURSOR_PREFIX) ? decoded.slice(CURSOR_PREFIX.length) : '';
  if (isJobId(id)) return id;
  context.addIssue({ code: 'custom', message: 'must be a next_cursor of an earlier page' });
  return z.NEVER;
});

const LIST_QUERY = {
  state: states.optional(),
  model: text(200).optional(),
  priority: z.enum(PRIORITIES).optional(),
  limit: limit.optional(),
  cursor: cursor.optional(),
};

/** The query of the list as a filter; throws the problem document for what it does not know or cannot read. */
export function listFilter(query: Readonly<Record<string, unknown>>): JobFilter {
  const { fields, problems } = readFields(LIST_QUERY, query);
  if (problems.length > 0) throw invalidFields(problems);
  const { state, cursor: beforeId, limit: wanted = DEFAULT_LIMIT, ...rest } = fields;
  return { ...rest, limit: wanted, ...(state && { states: state }), ...(beforeId !== undefined && { beforeId }) };
}

export function cursorBefore(id: string): string {
  return Buffer.from(CURSOR_PREFIX + id).toString('base64url');
}
