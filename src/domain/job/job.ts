import type { Degradation } from '../degradation/degradation.js';
import type { Failure } from '../failure/failure.js';
import type { GenerationRequest } from '../generation/generation-request.js';
import type { Phase, PhaseTiming } from './phase.js';
import type { JobState } from './job-state.js';

/** A submitted request and its whole life. Times are epoch milliseconds. */
export interface Job {
  /** UUIDv7: sorts by time of submission. */
  readonly id: string;
  readonly state: JobState;
  readonly request: GenerationRequest;
  readonly createdAt: number;
  /** First claim; null before. */
  readonly startedAt: number | null;
  /** When it became final; null before. */
  readonly finishedAt: number | null;
  /** When a `scheduled` job becomes due; null in other states. */
  readonly runAt: number | null;
  readonly cancelRequestedAt: number | null;
  readonly progress: Progress | null;
  readonly attempts: readonly Attempt[];
  readonly artifacts: readonly Artifact[];
  /** What was really run; null until it succeeded. */
  readonly effective: Effective | null;
  /** Why it ended in `failed` or `expired`, or the last failure while it waits for a retry. */
  readonly failure: Failure | null;
}

/** Progress of the current attempt. */
export interface Progress {
  readonly phase: Phase;
  readonly step: number;
  readonly steps: number;
  /** 0 … 1 over all phases; grows within an attempt. */
  readonly fraction: number;
  /** Milliseconds to go; null while unknown. */
  readonly etaMs: number | null;
}

export const ATTEMPT_OUTCOMES = ['running', 'succeeded', 'failed', 'cancelled', 'expired', 'returned'] as const;
/** `returned`: given back unharmed because the node stopped; it does not count against the job. */
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number];

/** One execution of a job on one worker under one plan. */
export interface Attempt {
  /** From 1. */
  readonly number: number;
  /** Null until a worker had it. */
  readonly worker: string | null;
  readonly device: string | null;
  readonly startedAt: number;
  readonly finishedAt: number | null;
  /** Furthest phase and step reached. */
  readonly phase: Phase | null;
  readonly step: number;
  readonly outcome: AttemptOutcome;
  readonly failure: Failure | null;
  readonly phases: readonly PhaseTiming[];
  readonly peakMemoryBytes: number | null;
  readonly degradations: readonly Degradation[];
  /** Step it continued from; null when it began at the beginning. */
  readonly resumedFromStep: number | null;
}

/** A stored picture. */
export interface Artifact {
  readonly index: number;
  /** Where the artifact store keeps it, relative to its root. Never shown to clients. */
  readonly key: string;
  readonly mediaType: string;
  readonly width: number;
  readonly height: number;
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** Decimal, because a seed may exceed 2^53. */
  readonly seed: string;
}

/** What was really run, in the words the API shows (snake_case keys, JSON values only). */
export type Effective = Readonly<Record<string, unknown>>;
