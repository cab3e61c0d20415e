import type { ExitCode } from './exit-code.js';
import type { Terminal } from './terminal.js';

/** What every command gets. */
export interface CommandContext {
  readonly terminal: Terminal;
  /** Says how the command ended. */
  readonly finish: (code: ExitCode) => void;
}
