import type { FieldProblem } from '../../jobs/submit/generation-input.js';
import { boundedValue } from './bounded-value.js';
import type { ErrorCode } from './error-codes.js';
import { ERRORS } from './error-codes.js';

/** Most fields told at once; who sends more wrong fields than this has one mistake, not many. */
export const MAX_FIELDS = 50;

interface ProblemFacts {
  readonly errors?: readonly FieldProblem[];
  readonly headers?: Readonly<Record<string, string>>;
  /** Further members of the document, as RFC 9457 section 3.2 allows. */
  readonly extensions?: Readonly<Record<string, unknown>>;
}

/** An answer that is an error. Thrown by the edge only; what lies below returns outcomes. */
export class Problem extends Error {
  constructor(
    readonly code: ErrorCode,
    readonly detail: string,
    readonly facts: ProblemFacts = {},
  ) {
    super(detail);
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  /** The document of RFC 9457. `type` is where the code is explained on this server. */
  document(instance: string): Record<string, unknown> {
    const errors = (this.facts.errors ?? []).slice(0, MAX_FIELDS);
    return {
      type: `/docs/errors#${this.code}`,
      title: ERRORS[this.code].title,
      status: this.status,
      detail: this.detail,
      instance,
      code: this.code,
      errors: errors.map((error) => ({ ...error, value: boundedValue(error.value), limit: error.limit ?? null })),
      ...this.facts.extensions,
    };
  }
}

/** The refusal of fields, with a sentence that names them. */
export function invalidFields(errors: readonly FieldProblem[]): Problem {
  const named = [...new Set(errors.map(({ field }) => field))];
  const more = named.length > 5 ? ` and ${named.length - 5} more` : '';
  const detail = `cannot be accepted: ${named.slice(0, 5).join(', ')}${more}`;
  return new Problem('invalid_request', detail, { errors });
}
