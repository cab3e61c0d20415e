import type { Readable } from 'node:stream';
import { createInterface } from 'node:readline';

import { execa } from 'execa';
import type { Logger } from 'pino';

/** How to start a worker process. */
export interface WorkerCommand {
  readonly python: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly stopTimeoutMs: number;
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

  constructor(command: WorkerCommand, log: Logger) {
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
    this.exited = this.watchExit();
    void this.readStdout(this.child.stdout, log);
    void readStderr(this.child.stderr, log);
  }

  get pid(): number | null {
    return this.child.pid ?? null;
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
    await this.child;
    return exit;
  }

  /** One reader for the life of the stream; breaking out of it would wait for the process. */
  private async readStdout(stdout: Readable, log: Logger): Promise<void> {
    for await (const line of createInterface({ input: stdout })) {
      const message = parseObject(line);
      if (message?.['event'] === 'ready') this.readyLine.resolve(message as unknown as ReadyLine);
      else log.warn({ line }, 'worker wrote to stdout');
    }
  }
}

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;

/** Passes the worker's log lines on, under their own level and message; anything else becomes a warning. */
async function readStderr(stderr: Readable, log: Logger): Promise<void> {
  for await (const line of createInterface({ input: stderr })) {
    const record = parseObject(line);
    if (record === null) {
      log.warn({ line }, 'worker wrote to stderr');
      continue;
    }
    const { level, msg, time: _, ...fields } = record;
    const known = LEVELS.find((name) => name === level) ?? 'warn';
    log[known](fields, typeof msg === 'string' ? msg : line);
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
