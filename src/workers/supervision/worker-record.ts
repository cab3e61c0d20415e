import { lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { ProcessIdentity } from './process-table.js';
import { ProcessTable } from './process-table.js';

/** A worker process as it is written down beside its socket, for a server that finds it orphaned. */
export interface WorkerRecord {
  /** Null where the system does not tell. */
  readonly worker: ProcessIdentity | null;
  /** The server it belongs to. */
  readonly owner: ProcessIdentity | null;
  /** Path of the socket it listens at; null: it was not written down. */
  readonly socket: string | null;
}

/** A record as it is found in a folder. */
export interface FoundRecord extends WorkerRecord {
  readonly file: string;
  readonly pid: number;
}

const NAME = /^worker-(\d+)\.json$/;

/** Writes a worker down, in the place of what stood there of the same process. */
export function writeWorkerRecord(folder: string, pid: number, socket: string, table = new ProcessTable()): void {
  const record: WorkerRecord = { worker: table.identify(pid), owner: table.identify(process.pid), socket };
  writeFileSync(fileOf(folder, pid), JSON.stringify(record), { mode: 0o600 });
}

/** Strikes out a worker that is gone, with its socket: one that was killed could not remove it. Safe to call twice. */
export function removeWorkerRecord(folder: string, pid: number, socket: string | null): void {
  if (socket !== null && isSocket(socket)) rmSync(socket, { force: true });
  rmSync(fileOf(folder, pid), { force: true });
}

/** All that are written down in a folder. What a server that was killed wrote half names no process but by its file. */
export function readWorkerRecords(folder: string): readonly FoundRecord[] {
  return namesIn(folder).flatMap((name) => {
    const pid = Number(NAME.exec(name)?.[1] ?? 0);
    return pid > 0 ? [{ ...readRecord(join(folder, name)), file: join(folder, name), pid }] : [];
  });
}

function fileOf(folder: string, pid: number): string {
  return join(folder, `worker-${pid}.json`);
}

function isSocket(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() ?? false;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function readRecord(file: string): WorkerRecord {
  try {
    const value = JSON.parse(readFileSync(file, 'utf8')) as Partial<WorkerRecord> | null;
    const { worker, owner, socket } = value ?? {};
    return {
      worker: isIdentity(worker) ? worker : null,
      owner: isIdentity(owner) ? owner : null,
      socket: typeof socket === 'string' ? socket : null,
    };
  } catch {
    // Half written, or struck out meanwhile.
    return { worker: null, owner: null, socket: null };
  }
}

function isIdentity(value: unknown): value is ProcessIdentity {
  const { pid, startedAt, command } = (value ?? {}) as Partial<ProcessIdentity>;
  // Ids of 0 and below mean groups.
  return Number.isInteger(pid) && pid! > 0 && typeof startedAt === 'string' && typeof command === 'string';
}
