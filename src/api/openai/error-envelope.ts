import type { ErrorDialect } from '../http/error-dialect.js';
import type { Problem } from '../http/problem.js';
import { ParameterProblem } from './parameter-problem.js';

/** How OpenAI's API tells an error; its clients read `message`, `param` and `code`, and choose a class by the status. */
export interface ErrorEnvelope {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  429: 'rate_limit_error',
};

/** The class of an error. */
export function errorType(status: number): string {
  return TYPES[status] ?? (status >= 500 ? 'server_error' : 'invalid_request_error');
}

function envelopeOf(problem: Problem): ErrorEnvelope {
  const { param, code } = wordsOf(problem);
  return { error: { message: problem.detail, type: errorType(problem.status), param, code } };
}

/** Our own codes where OpenAI has none that clients look for. */
function wordsOf(problem: Problem): { param: string | null; code: string } {
  const [first] = problem.facts.errors ?? [];
  if (problem instanceof ParameterProblem) {
    const [fault] = problem.faults;
    return { param: fault?.field ?? null, code: fault?.code ?? 'invalid_value' };
  }
  if (problem.code === 'body_too_large' && first !== undefined && first.field !== 'body')
    return { param: first.field, code: problem.code };
  return { param: null, code: problem.code === 'unauthorized' ? 'invalid_api_key' : problem.code };
}

/** Errors of `/v1/images`. */
const IMAGES: ErrorDialect = {
  speaks: (path) => /^\/v1\/images(?:\/|$)/i.test(path),
  render: (problem) => ({ contentType: 'application/json; charset=utf-8', body: envelopeOf(problem) }),
};

/** Errors of `/v1/models`, which is the native resource as well: a problem document that has the envelope's member too. */
const MODELS: ErrorDialect = {
  speaks: (path) => /^\/v1\/models(?:\/|$)/i.test(path),
  render: (problem, instance) => ({
    contentType: 'application/problem+json; charset=utf-8',
    body: { ...problem.document(instance), ...envelopeOf(problem) },
  }),
};

export const OPENAI_DIALECTS: readonly ErrorDialect[] = [IMAGES, MODELS];
