import type { Degradation } from '../degradation/degradation.js';
import type { Failure } from '../failure/failure.js';
import type { GenerationRequest } from '../generation/generation-request.js';
import type { WorkerMemory } from '../placement/worker-description.js';
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
  /** Who submitted it, for fairness among callers; empty: nobody in particular. Never shown. */
  readonly client: string;
  /** Id of the node that runs it; null unless `running`. */
  readonly node: string | null;
  /** Rungs of the ladder its next attempt stands on, in the order they were taken. */
  readonly degradations: readonly Degradation[];
  /** Its next attempt has a device to itself: it was there when workers died. */
  readonly solo: boolean;
  /** Workers that could not run it, as `<node name>/<worker id>`. */
  readonly avoids: readonly string[];
  /** Where its next attempt goes on; null: at the beginning. */
  readonly checkpoint: StoredCheckpoint | null;
  readonly progress: Progress | null;
  readonly attempts: readonly Attempt[];
  readonly artifacts: readonly Artifact[];
  /** What was really run; null until it succeeded. */
  readonly effective: Effective | null;
  /** Why it ended in `failed` or `expired`, or the last failure while it waits for a retry. */
  readonly failure: Failure | null;
  /** The request that submitted it, as a W3C traceparent; null: it is not traced. Never shown. */
  readonly trace: string | null;
}

/** A request's state at a step, kept by the artifact store. */
export interface StoredCheckpoint {
  /** Where the artifact store keeps it. */
  readonly key: string;
  /** Denoising steps done. */
  readonly step: number;
  readonly bytes: number;
  /** Number of the attempt that left it. */
  readonly attempt: number;
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
  /** Name of the node that claimed it. */
  readonly node: string | null;
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
  /** Memory of the device when the attempt ended; null while it runs and when the worker could not tell. */
  readonly memory: WorkerMemory | null;
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
