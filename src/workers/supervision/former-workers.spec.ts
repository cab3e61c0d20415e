import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import { isAlive } from '../../../test/support/signals.js';
import { endFormerWorkers } from './former-workers.js';
import type { ProcessIdentity } from './process-table.js';
import { ProcessTable } from './process-table.js';
import { readWorkerRecords, removeWorkerRecord, writeWorkerRecord } from './worker-record.js';

const LOG = pino({ level: 'silent' });
const TABLE = new ProcessTable();
// It sleeps as long as it is left to.
const onLinux = TABLE.isReadable ? describe : describe.skip;

onLinux('workers of a former life', () => {
  let folder: string;
  let worker: ChildProcess;
  let gone: ProcessIdentity;

  const here = () => TABLE.identify(worker.pid!)!;
  const record = (text: unknown) =>
    writeFileSync(join(folder, `worker-${worker.pid}.json`), typeof text === 'string' ? text : JSON.stringify(text));
  const end = (table = TABLE) => endFormerWorkers(folder, LOG, table);
  const never = new AbortController().signal;

  beforeAll(async () => {
    const server = spawn('sleep', ['100']);
    gone = TABLE.identify(server.pid!)!;
    server.kill('SIGKILL');
    await once(server, 'exit');
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sl-'));
    worker = spawn('sleep', ['100'], { detached: true, stdio: 'ignore' });
  });
  afterEach(async () => {
    if (worker.exitCode === null && worker.signalCode === null) {
      worker.kill('SIGKILL');
      await once(worker, 'exit');
    }
    rmSync(folder, { recursive: true, force: true });
  });

  it('are killed, even when they are stopped, and are waited for', async () => {
    worker.kill('SIGSTOP');
    record({ worker: here(), owner: gone });
    const exit = once(worker, 'exit');
    const former = end();
    expect(former.count).toBe(1);
    await former.gone(never);
    expect(TABLE.identify(worker.pid!)).toBeNull();
    expect(readdirSync(folder)).toEqual([]);
    expect(await exit).toEqual([null, 'SIGKILL']);
  });

  it.each<[string, () => unknown]>([
    ['its server lives', () => ({ worker: here(), owner: TABLE.identify(process.pid) })],
    ['another process has its id now', () => ({ worker: { ...here(), startedAt: gone.startedAt }, owner: gone })],
    ['the process runs something else', () => ({ worker: { ...here(), command: 'vi' }, owner: gone })],
    ['the record is half written', () => '{"worker":{"pid":'],
    ['the record names no process', () => ({ worker: { pid: 0, startedAt: '', command: '' }, owner: gone })],
  ])('are left alone when %s', (_, written) => {
    record(written());
    expect(end().count).toBe(0);
    expect(isAlive(worker.pid!)).toBe(true);
    expect(here().command).toBe('sleep 100');
  });

  it('are left alone where processes cannot be told apart, until no process has their id', async () => {
    record({ worker: here(), owner: gone });
    const blind = new ProcessTable(join(folder, 'no-proc'));
    expect(end(blind).count).toBe(0);
    expect(isAlive(worker.pid!)).toBe(true);
    expect(readWorkerRecords(folder)).toHaveLength(1);
    worker.kill('SIGKILL');
    await once(worker, 'exit');
    expect(end(blind).count).toBe(0);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('of a server that lives keep their record and their socket, and lose both once they are gone', async () => {
    const socket = join(folder, 'cpu-0.sock');
    const listening = createServer().listen(socket);
    await once(listening, 'listening');
    try {
      writeWorkerRecord(folder, worker.pid!, socket);
      expect(end().count).toBe(0);
      expect(readdirSync(folder).toSorted()).toEqual(['cpu-0.sock', `worker-${worker.pid}.json`]);
      worker.kill('SIGKILL');
      await once(worker, 'exit');
      expect(end().count).toBe(0);
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      listening.close();
    }
  });

  it('do not cost another file its place', () => {
    const file = join(folder, 'jobs.sqlite');
    writeFileSync(file, '');
    record({ worker: gone, owner: gone, socket: file });
    end();
    expect(readdirSync(folder)).toEqual(['jobs.sqlite']);
  });
});

/** A table as Linux would show it of a process that was killed, which leaves it when `end` is called. */
function tableOf(folder: string, pid: number, { state, threads }: { state: string; threads: number }) {
  mkdirSync(join(folder, 'sys/kernel/random'), { recursive: true });
  writeFileSync(join(folder, 'sys/kernel/random/boot_id'), 'boot\n');
  const write = (id: number, command: string, first: string) => {
    const fields = Array.from({ length: 30 }, () => '0');
    fields[0] = first;
    fields[17] = String(threads);
    fields[19] = '77';
    mkdirSync(join(folder, String(id)));
    writeFileSync(join(folder, String(id), 'stat'), `${id} (python) ${fields.join(' ')}`);
    writeFileSync(join(folder, String(id), 'cmdline'), command);
  };
  write(pid, '', state);
  // By its own entry one sees that a table can be read.
  write(process.pid, 'node', 'R');
  return { table: new ProcessTable(folder), end: () => rmSync(join(folder, String(pid)), { recursive: true }) };
}

describe('a former worker that is killed and in the hands of its driver', () => {
  const PID = 2 ** 22 + 1;
  const WORKER = { pid: PID, startedAt: 'boot/77', command: 'python -m safelight_worker' };
  let folder: string;
  let records: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sl-'));
    records = join(folder, 'run');
    mkdirSync(records);
    const owner = { ...WORKER, pid: PID + 1 };
    writeFileSync(join(records, `worker-${PID}.json`), JSON.stringify({ worker: WORKER, owner, socket: null }));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('is waited for until it is gone', async () => {
    const { table, end } = tableOf(folder, PID, { state: 'D', threads: 3 });
    const former = endFormerWorkers(records, LOG, table);
    expect(former.count).toBe(1);
    let isGone = false;
    const gone = former.gone(new AbortController().signal).then(() => (isGone = true));
    await new Promise(setImmediate);
    expect(isGone).toBe(false);
    end();
    await gone;
    expect(readdirSync(records)).toEqual([]);
  });

  it('is waited for no longer than told, and stays written down for the next server', async () => {
    const { table } = tableOf(folder, PID, { state: 'Z', threads: 2 });
    await endFormerWorkers(records, LOG, table).gone(new AbortController().signal, 1);
    await endFormerWorkers(records, LOG, table).gone(AbortSignal.abort());
    expect(readdirSync(records)).toHaveLength(1);
  });

  it('is not waited for when only its name is left', () => {
    const { table } = tableOf(folder, PID, { state: 'Z', threads: 1 });
    expect(endFormerWorkers(records, LOG, table).count).toBe(0);
    expect(readdirSync(records)).toEqual([]);
  });
});

it('writes a worker down as the system tells of it, and strikes it out', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sl-'));
  try {
    writeWorkerRecord(folder, process.pid, '/run/cpu-0.sock');
    const identity = TABLE.identify(process.pid);
    expect(readWorkerRecords(folder)).toMatchObject([
      { worker: identity, owner: identity, socket: '/run/cpu-0.sock', pid: process.pid },
    ]);
    removeWorkerRecord(folder, process.pid, '/run/cpu-0.sock');
    removeWorkerRecord(folder, process.pid, null);
    expect(readdirSync(folder)).toEqual([]);
    expect(readWorkerRecords(join(folder, 'none'))).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
