import { boundedValue } from '../http/bounded-value.js';
import type { ErrorDialect } from '../http/error-dialect.js';
import type { FieldProblem } from '../../jobs/submit/generation-input.js';
import { MAX_FIELDS } from '../http/problem.js';

/** Addresses of this dialect, also where nothing is served under them. */
const PATHS = /^\/(?:sdapi|internal|controlnet)(?:\/|$)/i;

/** How AUTOMATIC1111's middleware tells of an error (modules/api/api.py); clients show `detail`, some `errors`. */
export function errorBody(code: string, detail: string): Record<string, unknown> {
  return { error: code, detail, body: '', errors: detail };
}

/** How FastAPI tells of fields, which it does without the words of {@link errorBody}. */
export function fieldErrorBody(problems: readonly FieldProblem[]): Record<string, unknown> {
  return {
    detail: problems.slice(0, MAX_FIELDS).map(({ field, message, value, limit }) => ({
      type: 'value_error',
      loc: ['body', ...located(field)],
      msg: `${field}: ${message}`,
      input: boundedValue(value),
      ctx: { limit: limit ?? null },
    })),
  };
}

export const A1111_ERRORS: ErrorDialect = {
  speaks: (path) => PATHS.test(path),
  render({ code, detail, status, facts: { errors = [] } }) {
    const body = status === 422 && errors.length > 0 ? fieldErrorBody(errors) : errorBody(code, detail);
    return { contentType: 'application/json; charset=utf-8', body };
  },
};

/** `a.b[0]` as FastAPI counts it up: a, b, 0. */
function located(field: string): (string | number)[] {
  return field.split(/[.[\]]+/).flatMap((part) => (part === '' ? [] : [/^\d+$/.test(part) ? Number(part) : part]));
}
