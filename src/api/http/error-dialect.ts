import type { Problem } from './problem.js';

/** An answer that is an error, in the words a client of some dialect understands. */
export interface ErrorBody {
  readonly contentType: string;
  readonly body: unknown;
}

/** How errors of some addresses are told. */
export interface ErrorDialect {
  /** Whether requests for this path are of this dialect. */
  speaks(path: string): boolean;
  /** `instance`: the path of the request, bounded. */
  render(problem: Problem, instance: string): ErrorBody;
}

/** RFC 9457: what every address answers that no other dialect owns. */
export const PROBLEM_DOCUMENTS: ErrorDialect = {
  speaks: () => true,
  render: (problem, instance) => ({
    contentType: 'application/problem+json; charset=utf-8',
    body: problem.document(instance),
  }),
};
