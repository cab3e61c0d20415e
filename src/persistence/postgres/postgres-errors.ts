import { DatabaseError } from 'pg';

import { StoreUnavailableError } from '../../jobs/ports/job-store.port.js';

/** What two writers do to each other, and what doing it again mends: serialization_failure, deadlock_detected. */
const CLASHES = new Set(['40001', '40P01']);

/**
 * A row that another writer was first to insert: whoever looks for it before inserting finds it the next time. Where it was
 * not looked for, the next time fails alike.
 */
const UNIQUE_VIOLATION = '23505';

/**
 * SQLSTATE classes that speak of the server, not of the statement: connection, transaction broken off, resources, operator
 * intervention, system error. https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const UNAVAILABLE_CLASSES = new Set(['08', '53', '57', '58']);

/**
 * Of a class that else speaks of the statement: a server that has become a standby or whose disk is read-only, and a
 * transaction the server has ended because this process stood still in it.
 */
const AWAY = new Set(['25006', '25P03']);

export function isConflict(error: unknown): boolean {
  const code = error instanceof DatabaseError ? (error.code ?? '') : '';
  return CLASHES.has(code) || code === UNIQUE_VIOLATION;
}

/** What the caller may be told: a store that is away is a {@link StoreUnavailableError}, a defect of ours stays what it is. */
export function toStoreError(error: unknown): Error {
  const cause = error instanceof Error ? error : new Error(String(error));
  if (!(cause instanceof DatabaseError)) {
    // Whatever did not come from the server as an answer is a connection that could not be made or has broken.
    return new StoreUnavailableError(`PostgreSQL: ${messageOf(cause)}`, cause);
  }
  const code = cause.code ?? '';
  const away = UNAVAILABLE_CLASSES.has(code.slice(0, 2)) || AWAY.has(code) || CLASHES.has(code);
  return away ? new StoreUnavailableError(`PostgreSQL: ${cause.message}`, cause) : cause;
}

/** A name with several addresses fails with an error for each and none of its own. */
function messageOf(error: Error): string {
  if (error instanceof AggregateError) return error.errors.map((one: Error) => one.message).join('; ');
  return error.message;
}
