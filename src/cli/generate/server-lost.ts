import { CliError } from '../cli-error.js';

/** Whether an error means that the server is no longer there, and not that it refused something. */
export function isServerLost(error: unknown): boolean {
  return error instanceof CliError && (error.kind === 'connection_lost' || error.kind === 'unreachable');
}
