import { setTimeout as wait } from 'node:timers/promises';

import type { Logger } from 'pino';

import type { ProcessIdentity } from './process-table.js';
import { ProcessTable } from './process-table.js';
import type { FoundRecord } from './worker-record.js';
import { readWorkerRecords, removeWorkerRecord } from './worker-record.js';

/** How long workers start after those of a former life at the latest, in milliseconds: a driver lets go within seconds, or not. */
const END_TIMEOUT_MS = 10_000;

/** Between two looks at the system's table of processes, in milliseconds: the end of a process that is no child is not told. */
const LOOK_INTERVAL_MS = 50;

/** Workers of a former life that are on their way out and hold their devices until they are gone. */
export interface FormerWorkers {
  readonly count: number;
  /** Resolves when they are gone or the time is over, or when the signal aborts. Never rejects. */
  gone(signal: AbortSignal, timeoutMs?: number): Promise<void>;
}

/**
 * Ends workers that outlived the server they belonged to. A worker sees its stdin close and the kernel tells it of its parent's
 * death; one that was stopped, or had not come so far, may live on and hold the device. Only a process that is surely the one
 * that was written down is killed, by start time and command line, and only when its server is gone. What is written down of a
 * worker stays until it is gone, so that the next server waits for it too; workers of a server that lives are left alone.
 */
export function endFormerWorkers(folder: string, log: Logger, table = new ProcessTable()): FormerWorkers {
  const ending = readWorkerRecords(folder).filter((record) => {
    const worker = table.isReadable ? record.worker : null;
    if (worker === null) leaveOrForget(folder, record, log);
    else if (table.isEnding(worker)) return true;
    else if (!table.lives(worker)) forget(folder, record, log);
    else if (record.owner !== null && table.lives(record.owner))
      log.warn({ pid: worker.pid, server: record.owner.pid }, 'a worker of another server lives in this folder');
    else return kill(worker, table, log);
    return false;
  });
  return {
    count: ending.length,
    gone: async (signal, timeoutMs = END_TIMEOUT_MS) => {
      const left = await untilGone(ending, table, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]));
      for (const record of ending) if (!left.includes(record)) forget(folder, record, log);
      if (left.length > 0 && !signal.aborted)
        log.error(
          { pids: left.map(({ pid }) => pid), timeoutMs },
          'workers of a former life are killed and still not gone; workers start beside them, with less memory perhaps',
        );
    },
  };
}

/** Those that are left when the signal aborts. */
async function untilGone(
  records: readonly FoundRecord[],
  table: ProcessTable,
  signal: AbortSignal,
): Promise<readonly FoundRecord[]> {
  let left = records;
  for (;;) {
    left = left.filter(({ worker }) => worker !== null && (table.lives(worker) || table.isEnding(worker)));
    if (left.length === 0 || signal.aborted) return left;
    await wait(LOOK_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** Nobody can tell whether a process of this id is the one that was written down: as long as there is one it is left alone. */
function leaveOrForget(folder: string, record: FoundRecord, log: Logger): void {
  if (exists(record.pid)) log.warn({ pid: record.pid }, 'a process may be a worker of a former life and is left alone');
  else forget(folder, record, log);
}

function forget(folder: string, { pid, socket, file }: FoundRecord, log: Logger): void {
  try {
    removeWorkerRecord(folder, pid, socket);
  } catch (error) {
    log.warn({ err: error, file }, 'the record of a worker that is gone could not be removed');
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Whether it will end. */
function kill({ pid }: ProcessIdentity, table: ProcessTable, log: Logger): boolean {
  try {
    process.kill(table.leadsGroup(pid) ? -pid : pid, 'SIGKILL');
    log.warn({ pid }, 'a worker of a former life was still there and is killed');
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return true;
    log.error({ err: error, pid }, 'a worker of a former life cannot be killed');
    return false;
  }
}
