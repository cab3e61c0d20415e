import type { Logger } from 'pino';
import { destination, pino } from 'pino';

/** Token of the root logger. Fields in use everywhere: job, attempt, worker, device, err. */
export const LOG = Symbol('Log');

/**
 * JSON lines, one a record, on stderr (stdout belongs to what a command prints) or in a file.
 *
 * @param file absolute path; absent: stderr
 */
export function createLog(level: string, file?: string): Logger {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    destination(file ? { dest: file, mkdir: true } : 2),
  );
}
