import type { StatusObject } from '@grpc/grpc-js';
import { Metadata, status } from '@grpc/grpc-js';

import type { FieldProblem } from '../../../jobs/submit/generation-input.js';
import { isFinal } from '../../../domain/job/job-state.js';
import type { Job } from '../../../domain/job/job.js';
import { MAX_FIELDS, Problem } from '../../http/problem.js';
import { storeUnavailable } from '../../http/unavailable.js';
import { fieldName } from '../messages/field-names.js';
import type { ErrorDetails, Violation } from './error-details.js';
import { encodeStatus } from './error-details.js';
import { FAILURE_STATUS, PROBLEM_STATUS } from './status-codes.js';

/** Longest message, in characters: it travels percent-encoded in a header of which clients take some KiB. */
const MAX_MESSAGE_CHARS = 700;

/** Longest description of one field. */
const MAX_DESCRIPTION_CHARS = 300;

/** Problems whose `errors` name limits that are used up rather than fields at fault. */
const OF_QUOTAS: ReadonlySet<string> = new Set(['queue_full', 'quota_exceeded']);

/** Whatever was thrown, as a problem: what is no refusal of ours is a defect. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return storeUnavailable(error) ?? new Problem('internal', 'the call failed inside the server');
}

/** How a call ends that is refused. */
export function statusOfProblem({ code, detail, facts }: Problem): StatusObject {
  const violations = (facts.errors ?? []).slice(0, MAX_FIELDS).map(violationOf);
  const retryAfter = Number(facts.headers?.['Retry-After'] ?? Number.NaN);
  return statusOf(PROBLEM_STATUS[code], [detail, ...violations.map(sentence)].join('; '), {
    reason: code,
    fields: OF_QUOTAS.has(code) ? [] : violations,
    quotas: OF_QUOTAS.has(code) ? violations : [],
    retrySeconds: Number.isFinite(retryAfter) ? retryAfter : null,
  });
}

/** How a call ends that was to make pictures; null: with OK, since its job succeeded or is not over. */
export function statusOfJob({ id, state, failure }: Pick<Job, 'id' | 'state' | 'failure'>): StatusObject | null {
  if (!isFinal(state) || state === 'succeeded') return null;
  const kind = state === 'cancelled' ? 'cancelled' : state === 'expired' ? 'deadline_exceeded' : failure?.kind;
  const message = failure === null ? `job ${id} is ${state}` : `job ${id} is ${state}: ${failure.message}`;
  const field = failure?.field;
  return statusOf(kind === undefined ? status.INTERNAL : FAILURE_STATUS[kind], message, {
    reason: kind ?? 'internal',
    fields: field === undefined ? [] : [{ field: fieldName(field), description: failure?.message ?? '' }],
    quotas: [],
    retrySeconds: null,
  });
}

function statusOf(code: status, text: string, details: ErrorDetails): StatusObject {
  const message = bounded(text, MAX_MESSAGE_CHARS);
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', encodeStatus(code, message, details));
  metadata.set('safelight-code', details.reason);
  if (details.retrySeconds !== null) metadata.set('retry-after', String(details.retrySeconds));
  return { code, details: message, metadata };
}

function violationOf({ field, message, limit }: FieldProblem): Violation {
  const accepted = limit === null || limit === undefined ? '' : ` (limit: ${JSON.stringify(limit)})`;
  return { field: fieldName(field).toWellFormed(), description: bounded(message + accepted, MAX_DESCRIPTION_CHARS) };
}

function sentence({ field, description }: Violation): string {
  return `${field} ${description}`;
}

function bounded(text: string, maxChars: number): string {
  // Half a surrogate pair can be written into no header.
  return (text.length > maxChars ? `${text.slice(0, maxChars)}…` : text).toWellFormed();
}
