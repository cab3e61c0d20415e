import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What tells a process from every other there ever was on a machine: ids are given out again. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Id of the machine's start, and clock ticks from it to that of the process. */
  readonly startedAt: string;
  readonly command: string;
}

/** Fields of `stat` after the name of the command, which may itself hold blanks and brackets (proc(5)). */
const STATE = 0;
const GROUP = 2;
const THREADS = 17;
const START_TIME = 19;

/** Reads the system's table of processes, where there is one that can be read: Linux's. */
export class ProcessTable {
  constructor(private readonly proc = '/proc') {}

  get isReadable(): boolean {
    return this.identify(process.pid) !== null;
  }

  /** Null: no such process lives, or nobody can tell. */
  identify(pid: number): ProcessIdentity | null {
    const startedAt = this.startOf(pid);
    const command = this.commandOf(pid);
    // One that has ended and whose end nobody has asked for has no command line any more.
    if (startedAt === null || command === '' || this.stat(pid)?.[STATE] === 'Z') return null;
    return { pid, startedAt, command };
  }

  /** Whether the very same process still lives. */
  lives({ pid, startedAt, command }: ProcessIdentity): boolean {
    const now = this.identify(pid);
    return now !== null && now.startedAt === startedAt && now.command === command;
  }

  /** Whether it is on its way out: it was killed, and holds what it had of a device until its last thread is gone. */
  isEnding({ pid, startedAt }: ProcessIdentity): boolean {
    const stat = this.stat(pid);
    if (stat === null || this.startOf(pid) !== startedAt || this.commandOf(pid) !== '') return false;
    // Of one whose end nobody asks for the first thread stays in the table, alone.
    return !['Z', 'X'].includes(stat[STATE]!) || Number(stat[THREADS]) > 1;
  }

  /** Whether somebody has stopped it, by SIGSTOP or from a terminal. */
  isStopped(pid: number): boolean {
    return this.stat(pid)?.[STATE] === 'T';
  }

  leadsGroup(pid: number): boolean {
    return this.stat(pid)?.[GROUP] === String(pid);
  }

  private startOf(pid: number): string | null {
    const boot = this.read('sys/kernel/random/boot_id');
    const ticks = this.stat(pid)?.[START_TIME];
    return boot === null || ticks === undefined ? null : `${boot.trim()}/${ticks}`;
  }

  private commandOf(pid: number): string {
    return (this.read(`${pid}/cmdline`) ?? '').replaceAll('\0', ' ').trim();
  }

  private stat(pid: number): string[] | null {
    const text = this.read(`${pid}/stat`);
    return text === null
      ? null
      : text
          .slice(text.lastIndexOf(')') + 1)
          .trim()
          .split(' ');
  }

  private read(path: string): string | null {
    try {
      return readFileSync(join(this.proc, path), 'utf8');
    } catch {
      return null;
    }
  }
}
