import type { ExitCode } from './exit-code.js';

export type CliErrorKind =
  | 'bad_arguments'
  | 'refused'
  | 'not_found'
  | 'no_server'
  | 'unreachable'
  | 'connection_lost'
  | 'unexpected_answer'
  | 'cannot_start'
  | 'worker_lost'
  | 'damaged_download'
  | 'cannot_read'
  | 'cannot_write';

/** An end of a command that a person can do something about. */
export class CliError extends Error {
  readonly kind: CliErrorKind;
  readonly nextStep: string;
  readonly exitCode: ExitCode;

  constructor(facts: { kind: CliErrorKind; message: string; nextStep: string; exitCode: ExitCode; cause?: unknown }) {
    super(facts.message, { cause: facts.cause });
    this.name = 'CliError';
    this.kind = facts.kind;
    this.nextStep = facts.nextStep;
    this.exitCode = facts.exitCode;
  }
}
