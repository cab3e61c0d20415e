import { A1111_ERRORS } from './a1111/a1111-errors.js';
import type { ErrorDialect } from './http/error-dialect.js';
import { PROBLEM_DOCUMENTS } from './http/error-dialect.js';
import { OPENAI_DIALECTS } from './openai/error-envelope.js';
import { INFERENCE_ERRORS } from './predecessors/inference-errors.js';

/** The first that speaks for a path renders its errors. A new dialect is one line here. */
export const ERROR_DIALECTS: readonly ErrorDialect[] = [
  ...OPENAI_DIALECTS,
  A1111_ERRORS,
  INFERENCE_ERRORS,
  PROBLEM_DOCUMENTS,
];
