/**
 * The thread that owns the database file: it runs groups of statements and knows nothing of jobs.
 *
 * Every group that waits goes into one transaction, each behind a savepoint of its own, so one fsync serves them all and a
 * group that fails takes no neighbour with it. While a commit waits for the disk the next groups gather.
 *
 * Node runs this file as it stands under the tests, by stripping its types, so it imports nothing that exists only as
 * TypeScript and uses no syntax that would have to be compiled.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { GroupResult, Row, SqlValue, Statement, StatementGroup } from '../sql/sql-runner.js';

export interface GroupRequest {
  readonly id: number;
  readonly group: StatementGroup;
}

export interface SqliteFailure {
  readonly message: string;
  /** SQLite's extended result code; null when the error is not SQLite's. */
  readonly code: number | null;
}

export type GroupReply =
  { readonly id: number; readonly result: GroupResult } | { readonly id: number; readonly failure: SqliteFailure };

/** To this thread: groups to run, or null to close. */
export type ToDriver = readonly GroupRequest[] | null;
/** From this thread: first whether the file could be opened, then replies. */
export type FromDriver = { readonly opened: SqliteFailure | null } | { readonly replies: readonly GroupReply[] };

/** Bounds how long the first group of a transaction waits for the last: about 10 ms of work. */
const MAX_GROUPS_PER_COMMIT = 256;

/** Covers a process that is just leaving; whoever holds the file longer than this means to keep it. */
const BUSY_TIMEOUT_MS = 500;

const port = parentPort!;
let db: DatabaseSync;
const prepared = new Map<string, StatementSync>();

function open(path: string): DatabaseSync {
  const opened = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
  try {
    // In this order: with the lock taken first, WAL needs no shared memory file and a second owner is refused at once.
    opened.exec('PRAGMA locking_mode = EXCLUSIVE');
    opened.exec('PRAGMA journal_mode = WAL');
    opened.exec('PRAGMA synchronous = FULL');
    // Takes the lock now: an existing WAL database would else be locked only by the first transaction.
    opened.exec('BEGIN IMMEDIATE; COMMIT');
    return opened;
  } catch (error) {
    opened.close();
    throw error;
  }
}

function run(sql: string, params: readonly SqlValue[]): Row[] {
  let statement = prepared.get(sql);
  if (statement === undefined) {
    statement = db.prepare(sql.replaceAll(/\$(\d+)/g, '?$1'));
    prepared.set(sql, statement);
  }
  // A number is bound as REAL and would turn up as 3.0 in text; a bigint is bound as INTEGER.
  return statement.all(
    ...params.map((value) => (Number.isSafeInteger(value) ? BigInt(value as number) : value)),
  ) as Row[];
}

function runStatement(statement: Statement, rows: readonly (readonly Row[])[]): Row[] {
  const { sql, params, forEachRowOf } = statement;
  if (forEachRowOf === undefined) return run(sql, params as readonly SqlValue[]);
  return (rows[forEachRowOf] ?? []).flatMap((row) =>
    run(
      sql,
      params.map((param) => (param !== null && typeof param === 'object' ? (row[param.column] ?? null) : param)),
    ),
  );
}

function runGroup(group: StatementGroup): GroupResult {
  run('SAVEPOINT statement_group', []);
  const rows: Row[][] = [];
  for (const [index, statement] of group.entries()) {
    const found = runStatement(statement, rows);
    rows.push(found);
    if (statement.stopIfRows === true && found.length > 0) {
      undoGroup();
      return { rows, stoppedAt: index };
    }
  }
  run('RELEASE statement_group', []);
  return { rows, stoppedAt: null };
}

function undoGroup(): void {
  run('ROLLBACK TO statement_group', []);
  run('RELEASE statement_group', []);
}

function answer({ id, group }: GroupRequest): GroupReply {
  try {
    return { id, result: runGroup(group) };
  } catch (error) {
    // SQLite ends the whole transaction itself on some errors, a full disk among them.
    if (!db.isTransaction) throw error;
    undoGroup();
    return { id, failure: failureFrom(error) };
  }
}

/** When the transaction is lost, each group is tried by itself: a large one must not take the small ones down with it. */
function commitTogether(requests: readonly GroupRequest[]): GroupReply[] {
  try {
    run('BEGIN IMMEDIATE', []);
    const replies = requests.map(answer);
    run('COMMIT', []);
    return replies;
  } catch (error) {
    if (db.isTransaction) run('ROLLBACK', []);
    if (requests.length > 1) return requests.flatMap((request) => commitTogether([request]));
    return requests.map(({ id }) => ({ id, failure: failureFrom(error) }));
  }
}

function failureFrom(error: unknown): SqliteFailure {
  const { message, errcode } = error as Error & { errcode?: number };
  return { message, code: errcode ?? null };
}

function serve(first: ToDriver): void {
  const waiting: GroupRequest[] = [];
  let message: ToDriver | undefined = first;
  while (message !== undefined && message !== null) {
    waiting.push(...message);
    message = receiveMessageOnPort(port)?.message as ToDriver | undefined;
  }
  for (let start = 0; start < waiting.length; start += MAX_GROUPS_PER_COMMIT) {
    const replies = commitTogether(waiting.slice(start, start + MAX_GROUPS_PER_COMMIT));
    port.postMessage({ replies } satisfies FromDriver);
  }
  if (message === null) {
    db.close();
    port.close();
  }
}

try {
  db = open((workerData as { path: string }).path);
  port.on('message', serve);
  port.postMessage({ opened: null } satisfies FromDriver);
} catch (error) {
  port.postMessage({ opened: failureFrom(error) } satisfies FromDriver);
}
