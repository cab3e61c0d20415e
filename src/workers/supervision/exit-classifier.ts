import type { FailureKind } from '../../domain/failure/failure-kind.js';

/** How a worker process ended. */
export interface ExitReport {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Set when there never was a process: the interpreter is missing, say. */
  readonly startError: Error | null;
  /** Why the supervisor killed it: its engine stood still, or it did not become ready. Null: somebody else did, or nobody. */
  readonly killedFor: { readonly stall: boolean; readonly why: string } | null;
  readonly wasReady: boolean;
  /** The last lines it wrote to stderr, of those that complain. */
  readonly lastWords: readonly string[];
  /** What it last said it held; null: it never said. */
  readonly allocatedBytes: number | null;
}

/** Exit code by which a worker says that its device context is lost (sysexits' EX_SOFTWARE). */
const EXIT_DEVICE_FATAL = 70;

/** Exit code of a command line that cannot be followed. */
const EXIT_USAGE = 2;

/** Signals of a process that did something it must not: a defect in native code. */
const CRASHES: readonly NodeJS.Signals[] = ['SIGSEGV', 'SIGBUS', 'SIGABRT', 'SIGILL', 'SIGFPE', 'SIGTRAP'];

/** What an exit means for the attempts that were in the worker, and how to tell a person. */
export function classifyExit(report: ExitReport): { kind: FailureKind; message: string } {
  const { code, startError, killedFor } = report;
  if (startError !== null) return lost(`it could not be started: ${startError.message}`);
  if (killedFor?.stall === true) return { kind: 'worker_hung', message: `${killedFor.why} and it was killed` };
  if (killedFor !== null) return lost(withLastWords(report, killedFor.why));
  if (code === EXIT_DEVICE_FATAL) return { kind: 'device_fatal', message: 'it lost its device' };
  if (report.signal !== null) return lost(ofSignal(report, report.signal));
  if (code === EXIT_USAGE) return lost(withLastWords(report, 'it refused its command line'));
  if (code === 0) return lost('it was told to end by somebody else');
  const when = report.wasReady ? '' : ' before it was ready';
  return lost(withLastWords(report, `it exited with code ${code ?? 'unknown'}${when}`));
}

function ofSignal(report: ExitReport, signal: NodeJS.Signals): string {
  if (signal === 'SIGKILL') {
    const held = report.allocatedBytes;
    const much = held === null ? '' : `; it last held ${(held / 2 ** 20).toFixed(0)} MiB`;
    return `it was killed by SIGKILL from outside, as the system does when memory runs out${much}`;
  }
  return CRASHES.includes(signal) ? withLastWords(report, `it crashed (${signal})`) : `it was killed by ${signal}`;
}

function withLastWords({ lastWords }: ExitReport, message: string): string {
  return lastWords.length === 0 ? message : `${message}: ${lastWords.join(' | ')}`;
}

const lost = (message: string) => ({ kind: 'worker_lost' as const, message });
