import { CliError } from '../cli-error.js';
import { EXIT } from '../exit-code.js';

/** A server that did not answer at all. */
export class UnreachableError extends CliError {
  constructor(url: string, cause: unknown) {
    super({
      kind: 'unreachable',
      message: `No answer from ${url}: ${reasonOf(cause)}.`,
      nextStep: 'start a server with `safelight serve`, or correct --server or SAFELIGHT_SERVER.',
      exitCode: EXIT.failed,
      cause,
    });
  }
}

interface Reason {
  readonly name?: string;
  readonly message?: string;
  readonly cause?: Reason;
  /** Of an AggregateError: one for each address that was tried. */
  readonly errors?: readonly Reason[];
}

/** The innermost reason: fetch wraps what the socket said. */
function reasonOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error);
  const { name, message, cause, errors } = error as Reason;
  if (name === 'TimeoutError') return 'it took too long';
  const inner = cause ?? errors?.[0];
  return inner === undefined ? (message ?? 'unknown error') : reasonOf(inner);
}
