import type { FailureKind } from '../../domain/failure/failure-kind.js';

/** How a worker process ended. */
export interface ExitReport {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The supervisor killed it because its engine stood still. */
  readonly killedForStall: boolean;
}

/** Exit code by which a worker says that its device context is lost (sysexits' EX_SOFTWARE). */
const EXIT_DEVICE_FATAL = 70;

/** What an exit means for the attempts that were in the worker, and how to tell a person. */
export function classifyExit(report: ExitReport): { kind: FailureKind; message: string } {
  if (report.killedForStall) return { kind: 'worker_hung', message: 'its engine stood still and it was killed' };
  if (report.code === EXIT_DEVICE_FATAL) return { kind: 'device_fatal', message: 'it lost its device' };
  if (report.signal !== null) return { kind: 'worker_lost', message: `it was killed by ${report.signal}` };
  return { kind: 'worker_lost', message: `it exited with code ${report.code ?? 'unknown'}` };
}
