import { z } from 'zod';

import type { FieldProblem, GenerationInput } from '../../jobs/submit/generation-input.js';
import type { SubmitJobs } from '../../jobs/submit/submit-jobs.js';
import { invalidFields, MAX_FIELDS, Problem } from '../http/problem.js';
import type { Fields } from '../http/read-fields.js';
import { isObject, readFields } from '../http/read-fields.js';
import { JobSubmission, MAX_BATCH } from './dto/job-submission.js';

/** What decides about the fields that have the right type. */
export type Judge = Pick<SubmitJobs, 'resolve'>;

interface Reading {
  readonly input: GenerationInput;
  readonly problems: readonly FieldProblem[];
}

/** Reads one request; throws the problem document when it is not one. */
export function readSubmission(body: unknown, judge: Judge): GenerationInput {
  const { input, problems } = readOne(requireBody(body), judge, 'body', '');
  if (problems.length > 0) throw invalidFields(problems);
  return input;
}

/** Reads a batch; one bad request refuses all. */
export function readBatch(body: unknown, judge: Judge): GenerationInput[] {
  const batch = requireBody(body);
  if (!isObject(batch)) throw invalidFields([notAnObject('body', batch)]);
  const { fields, problems } = readFields({ requests: z.array(z.unknown()).min(1).max(MAX_BATCH) }, batch);
  const found = [...problems];
  const inputs: GenerationInput[] = [];
  for (const [index, request] of (fields.requests ?? []).entries()) {
    // More are not told, and looking for them would only keep the event loop busy.
    if (found.length >= MAX_FIELDS) break;
    const reading = readOne(request, judge, `requests[${index}]`, `requests[${index}].`);
    found.push(...reading.problems);
    inputs.push(reading.input);
  }
  if (found.length > 0) throw invalidFields(found);
  return inputs;
}

function requireBody(body: unknown): unknown {
  if (body === undefined) throw new Problem('malformed_json', 'the body is empty');
  return body;
}

function readOne(given: unknown, judge: Judge, name: string, prefix: string): Reading {
  if (!isObject(given)) return { input: { prompt: '' }, problems: [notAnObject(name, given)] };
  const { fields, problems } = readFields(JobSubmission.shape, given, prefix);
  const input = asInput(fields);
  return {
    input,
    problems: problems.length === 0 ? [] : [...problems, ...judgedAnyway(input, problems, judge, prefix)],
  };
}

/**
 * What the model's limits say about the fields that could be read, so that a person mends all mistakes in one go. Without
 * problems of type nothing is judged here: submitting does it. A model that could not be read leaves no limits to judge by.
 */
function judgedAnyway(
  input: GenerationInput,
  found: readonly FieldProblem[],
  judge: Judge,
  prefix: string,
): FieldProblem[] {
  const told = new Set(found.map(({ field }) => topField(field.slice(prefix.length))));
  if (told.has('model')) return [];
  const judged = told.has('init_image') ? withoutWhatNeedsIt(input) : input;
  const resolution = judge.resolve(judged);
  if (resolution.ok) return [];
  const fresh = resolution.problems.filter(({ field }) => !told.has(topField(field)));
  return fresh.map((problem) => ({ ...problem, field: prefix + problem.field }));
}

function topField(field: string): string {
  return field.split(/[.[]/, 1)[0] as string;
}

/** Beside an `init_image` that could not be read, to ask for one would mislead. */
function withoutWhatNeedsIt({ mask_image: _mask, strength: _strength, ...rest }: GenerationInput): GenerationInput {
  return rest;
}

/** An unreadable prompt is empty here; its own problem stands already. */
function asInput({
  webhook,
  start_by,
  finish_by,
  time_budget_ms,
  ...fields
}: Fields<typeof JobSubmission.shape>): GenerationInput {
  return {
    ...fields,
    prompt: fields.prompt ?? '',
    ...(start_by != null && { start_by }),
    ...(finish_by != null && { finish_by }),
    ...(time_budget_ms != null && { time_budget_ms }),
    ...(webhook != null && { webhook }),
  };
}

function notAnObject(field: string, value: unknown): FieldProblem {
  return { field, message: 'must be a JSON object', value, limit: { type: 'object' } };
}
