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
  const stream = destination(file ? { dest: file, mkdir: true } : 2);
  // A log that cannot be written (a full disk, say) must not take the jobs with it: pino throws at the call otherwise.
  stream.on('error', () => undefined);
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, stream);
}
