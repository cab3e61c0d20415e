import type { ErrorDialect } from '../http/error-dialect.js';
import type { Problem } from '../http/problem.js';

const PATHS = /^\/(?:api\/diffusers\/inference|api\/v1\/content\/generate|images\/[^/]+)\/?$/i;

/** `error` is where the first server of that kind told what is wrong, `detail` where the second did. */
export function inferenceError(message: string): Record<string, unknown> {
  return { error: message, detail: message };
}

export const INFERENCE_ERRORS: ErrorDialect = {
  speaks: (path) => PATHS.test(path),
  render: (problem) => ({
    contentType: 'application/json; charset=utf-8',
    body: inferenceError(sentence(problem)),
  }),
};

function sentence({ detail, facts: { errors = [] } }: Problem): string {
  return errors.length === 0 ? detail : errors.map(({ field, message }) => `${field} ${message}`).join('; ');
}
