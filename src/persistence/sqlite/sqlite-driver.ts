import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { StoreUnavailableError } from '../../jobs/ports/job-store.port.js';
import type { GroupResult, SqlRunner, StatementGroup } from '../sql/sql-runner.js';
import { DatabaseInUseError } from './database-in-use.error.js';
import type { FromDriver, GroupReply, GroupRequest, SqliteFailure, ToDriver } from './sqlite-driver.worker.js';

/** `.js` when compiled; `.ts` under the tests, where Node strips the types of the thread's file itself. */
const WORKER_FILE = new URL(`./sqlite-driver.worker${extname(import.meta.url)}`, import.meta.url);

/** Groups that may wait for the thread. A disk that stalls this long is out of order, and memory must not pay for it. */
const MAX_PENDING_GROUPS = 10_000;

/** SQLite's primary result codes that speak of the machine, not of the statement. */
const BUSY = 5;
const UNAVAILABLE = new Set([BUSY, /* NOMEM */ 7, /* READONLY */ 8, /* IOERR */ 10, /* FULL */ 13, /* CANTOPEN */ 14]);

interface Pending {
  readonly resolve: (result: GroupResult) => void;
  readonly reject: (error: Error) => void;
}

/** This thread's end of the thread that owns the database file. */
export class SqliteDriver implements SqlRunner {
  private readonly worker: Worker;
  private readonly exited: Promise<void>;
  private readonly pending = new Map<number, Pending>();
  private outbox: GroupRequest[] = [];
  private lastId = 0;
  /** Why no more groups are taken. */
  private ended: StoreUnavailableError | null = null;

  private constructor(worker: Worker) {
    this.worker = worker;
    this.exited = new Promise((resolve) => worker.once('exit', () => resolve()));
    worker.on('message', (message: FromDriver) => {
      if ('replies' in message) message.replies.forEach((reply) => this.settle(reply));
    });
    worker.on('error', (error: Error) =>
      this.end(new StoreUnavailableError(`its thread died: ${error.message}`, error)),
    );
    worker.on('exit', () => this.end(new StoreUnavailableError('its thread has ended')));
  }

  /** Opens the file, making it when there is none, and takes it for this process alone. */
  static async open(path: string): Promise<SqliteDriver> {
    const worker = new Worker(WORKER_FILE, { name: 'safelight-sqlite', workerData: { path } });
    const failure = await new Promise<SqliteFailure | null>((resolve, reject) => {
      worker.once('error', reject);
      worker.once('message', (message: FromDriver) => {
        worker.off('error', reject);
        if ('opened' in message) resolve(message.opened);
      });
    });
    if (failure === null) return new SqliteDriver(worker);
    if (primaryCode(failure) === BUSY) throw new DatabaseInUseError(path);
    throw new StoreUnavailableError(`cannot open ${path}: ${failure.message}`);
  }

  run(group: StatementGroup): Promise<GroupResult> {
    if (this.ended !== null) return Promise.reject(this.ended);
    if (this.pending.size >= MAX_PENDING_GROUPS) {
      return Promise.reject(new StoreUnavailableError(`${MAX_PENDING_GROUPS} writes already wait for the disk`));
    }
    return new Promise((resolve, reject) => {
      const id = ++this.lastId;
      this.pending.set(id, { resolve, reject });
      // One message for all that is asked in the same turn: messages between threads cost more than statements.
      if (this.outbox.push({ id, group }) === 1) queueMicrotask(() => this.send());
    });
  }

  /** A group has the file for itself anyway. */
  read(group: StatementGroup): Promise<GroupResult> {
    return this.run(group);
  }

  async close(): Promise<void> {
    if (this.ended === null) {
      this.ended = new StoreUnavailableError('it is closed');
      this.send();
      this.post(null);
    }
    await this.exited;
  }

  private send(): void {
    if (this.outbox.length === 0) return;
    this.post(this.outbox);
    this.outbox = [];
  }

  private post(message: ToDriver): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin, a window has
    this.worker.postMessage(message);
  }

  private settle(reply: GroupReply): void {
    const pending = this.pending.get(reply.id);
    this.pending.delete(reply.id);
    if ('result' in reply) pending?.resolve(reply.result);
    else pending?.reject(errorFrom(reply.failure));
  }

  private end(error: StoreUnavailableError): void {
    this.ended ??= error;
    for (const { reject } of this.pending.values()) reject(error);
    this.pending.clear();
  }
}

function errorFrom(failure: SqliteFailure): Error {
  const error = new Error(`SQLite: ${failure.message}`);
  return UNAVAILABLE.has(primaryCode(failure)) ? new StoreUnavailableError(failure.message, error) : error;
}

/** The low byte of an extended result code. */
function primaryCode({ code }: SqliteFailure): number {
  return (code ?? 0) & 0xff;
}
