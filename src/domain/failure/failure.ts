import type { Phase } from '../job/phase.js';
import type { FailureKind } from './failure-kind.js';

/** A mark an attempt left in its staging folder, from which another can go on. */
export interface Checkpoint {
  readonly fileName: string;
  /** Denoising steps done. */
  readonly step: number;
  /** Size of the file. */
  readonly bytes: number;
}

/** A failure is data: it is stored with the attempt, shown to the client, and decides what happens next. */
export interface Failure {
  readonly kind: FailureKind;
  /** Phase it happened in; null when no worker had the job. */
  readonly phase: Phase | null;
  /** Denoising steps done before it. */
  readonly step: number;
  /** One sentence for a person. */
  readonly message: string;
  /** Traceback or exit report for the debug record; never shown in listings. */
  readonly detail?: string;
  /** Field of the request at fault, in the API's name. */
  readonly field?: string;
  /** Bytes asked for and free when memory ran out. */
  readonly requestedBytes?: number;
  readonly freeBytes?: number;
  /** Where a new attempt could go on. Absent: at the beginning. */
  readonly checkpoint?: Checkpoint;
}

export function failure(
  kind: FailureKind,
  message: string,
  facts: Partial<Omit<Failure, 'kind' | 'message'>> = {},
): Failure {
  return { phase: null, step: 0, ...facts, kind, message };
}
