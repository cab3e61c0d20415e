import type { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { createInterface } from 'node:readline';

import { execa } from 'execa';
import type { Logger } from 'pino';

import { LastWords } from './last-words.js';
import { removeWorkerRecord, writeWorkerRecord } from './worker-record.js';

/** Time the pipes of a dead process have to close, in milliseconds; then nobody listens to whoever holds them. */
const PIPES_CLOSE_WITHIN_MS = 2000;

/** How to start a worker process. */
export interface WorkerCommand {
  readonly python: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly stopTimeoutMs: number;
  /** Existing folder in which the process is written down while it lives. */
  readonly recordDir: string;
  /** Path of the socket it listens at; removed when it is gone. */
  readonly socket: string;
}

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Set when there never was a process: the interpreter is missing, say. */
  readonly startError: Error | null;
}

/** What the worker says in its first line on stdout. */
export interface ReadyLine {
  readonly event: 'ready';
  readonly address: string;
  readonly pid: number;
  readonly protocol: number;
}

/**
 * One worker process from spawn to exit. Owns the process, knows nothing of jobs.
 *
 * The worker watches its stdin: when this process dies, by whatever, the pipe closes and the worker ends itself.
 */
export class WorkerProcess {
  /** Settles once, when the process is gone and its whole process group has been swept. */
  readonly exited: Promise<ProcessExit>;
  private readonly child;
  private readonly readyLine = Promise.withResolvers<ReadyLine>();
  private readonly complaints = new LastWords();
  /** Settles when all of stdout and stderr is read, or cannot be read any more. */
  private readonly heard: Promise<unknown>;

  constructor(
    private readonly command: WorkerCommand,
    private readonly log: Logger,
  ) {
    this.child = execa(command.python, [...command.args], {
      cwd: command.cwd,
      env: command.env,
      extendEnv: false,
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'pipe',
      buffer: false,
      reject: false,
      cleanup: true,
      // The worker leads a group of its own, so that a signal also reaches what it may have started.
      killDescendants: true,
      forceKillAfterDelay: command.stopTimeoutMs,
    });
    // Rejected when the process ends first; whoever waits handles it, and nobody may be waiting.
    this.readyLine.promise.catch(() => undefined);
    this.writeDown();
    this.heard = this.listen();
    this.exited = this.watchExit();
  }

  get pid(): number | null {
    return this.child.pid ?? null;
  }

  get isAlive(): boolean {
    const { exitCode, signalCode } = this.child.nodeChildProcess;
    return this.pid !== null && exitCode === null && signalCode === null;
  }

  /** What it complained of last. Complete once {@link exited} has settled. */
  get lastWords(): readonly string[] {
    return this.complaints.lines;
  }

  /** The address the worker listens at. Rejects when it exits first, or says nothing within the limit. */
  async ready(timeoutMs: number): Promise<ReadyLine> {
    const limit = setTimeout(() => this.readyLine.reject(new Error(`said nothing within ${timeoutMs} ms`)), timeoutMs);
    try {
      return await this.readyLine.promise;
    } finally {
      clearTimeout(limit);
    }
  }

  /** SIGTERM, then SIGKILL when it does not end in time. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    await this.exited;
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }

  private async watchExit(): Promise<ProcessExit> {
    const child = this.child.nodeChildProcess;
    const exit = await new Promise<ProcessExit>((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal, startError: null }));
      child.once('error', (startError) => resolve({ code: null, signal: null, startError }));
      // A spawn that fails at once (no memory, no file handles) leaves a child that tells of nothing.
      if (this.pid === null) {
        void this.child.then((result) => {
          const startError = new Error(result.shortMessage ?? 'the process could not be started');
          resolve({ code: null, signal: null, startError });
        });
      }
    });
    // A grandchild could hold the pipes open, and the promise of the subprocess with them: sweep the group.
    this.child.kill('SIGKILL');
    const how = exit.startError?.message ?? (exit.signal === null ? `exit code ${exit.code}` : `signal ${exit.signal}`);
    this.readyLine.reject(new Error(`ended before it was ready: ${how}`));
    // One that has left the group could hold the pipes open all the same.
    await Promise.race([Promise.all([this.child, this.heard]), wait(PIPES_CLOSE_WITHIN_MS, undefined, { ref: false })]);
    this.child.stdout.destroy();
    this.child.stderr.destroy();
    this.strikeOut();
    return exit;
  }

  /** A worker that cannot be written down (a full disk) is served by all the same: it ends by its stdin. */
  private writeDown(): void {
    const { recordDir, socket } = this.command;
    this.record((pid) => writeWorkerRecord(recordDir, pid, socket));
  }

  private strikeOut(): void {
    const { recordDir, socket } = this.command;
    this.record((pid) => removeWorkerRecord(recordDir, pid, socket));
  }

  private record(write: (pid: number) => void): void {
    const { pid } = this;
    if (pid === null) return;
    try {
      write(pid);
    } catch (error) {
      this.log.warn({ err: error, pid }, 'the record of the worker could not be written');
    }
  }

  /** A pipe that cannot be read is no end of the worker: its exit is told by the system, its life by the looks at it. */
  private listen(): Promise<unknown> {
    const { log } = this;
    const orLost = (reading: Promise<void>, name: string) =>
      reading.catch((error: unknown) => log.warn({ err: error }, `the rest of the worker's ${name} is lost`));
    return Promise.all([
      orLost(this.readStdout(this.child.stdout), 'stdout'),
      orLost(readStderr(this.child.stderr, this.complaints, log), 'stderr'),
    ]);
  }

  /** One reader for the life of the stream; breaking out of it would wait for the process. */
  private async readStdout(stdout: Readable): Promise<void> {
    for await (const line of createInterface({ input: stdout })) {
      const message = parseObject(line);
      if (message?.['event'] !== 'ready') {
        this.log.warn({ line }, 'worker wrote to stdout');
        continue;
      }
      // Anew: an interpreter that is a script had another command line before the script became what it starts.
      this.writeDown();
      this.readyLine.resolve(message as unknown as ReadyLine);
    }
  }
}

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;

/** Passes the worker's log lines on, under their own level and message; anything else becomes a warning. */
async function readStderr(stderr: Readable, complaints: LastWords, log: Logger): Promise<void> {
  for await (const line of createInterface({ input: stderr })) {
    const record = parseObject(line);
    if (record === null) {
      complaints.add(line);
      log.warn({ line }, 'worker wrote to stderr');
      continue;
    }
    const { level, msg, time: _, ...fields } = record;
    const known = LEVELS.find((name) => name === level) ?? 'warn';
    const text = typeof msg === 'string' ? msg : line;
    if (known === 'error' || known === 'fatal') complaints.add(text);
    log[known](fields, text);
  }
}

function parseObject(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
