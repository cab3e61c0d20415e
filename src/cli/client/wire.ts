/** What the command line reads of the API's answers. Fields it does not show are left out. */
export interface JobJson {
  readonly id: string;
  readonly state: string;
  readonly priority: string;
  readonly model: string;
  readonly queue_position: number | null;
  readonly created_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly progress: ProgressJson | null;
  readonly request: {
    readonly prompt: string;
    readonly seed: Integer;
    readonly num_images: number;
    readonly [field: string]: unknown;
  };
  readonly attempts: readonly AttemptJson[];
  readonly artifacts: readonly ArtifactJson[];
  readonly degradations: readonly { readonly rung: string; readonly fidelity: string; readonly cause: string }[];
  readonly failure: FailureJson | null;
  readonly waiting_for: string | null;
}

/** A string of digits when a number cannot hold it. */
export type Integer = number | string;

export interface ProgressJson {
  readonly phase: string;
  readonly step: number;
  readonly steps: number;
  readonly fraction: number;
  readonly eta_ms: number | null;
}

export interface FailureJson {
  readonly kind: string;
  readonly phase: string | null;
  readonly step: number;
  readonly message: string;
}

export interface AttemptJson {
  readonly number: number;
  readonly worker: string | null;
  readonly device: string | null;
  readonly started_at: string;
  readonly finished_at: string | null;
  readonly outcome: string;
  readonly failure: FailureJson | null;
  readonly phases: readonly {
    readonly name: string;
    readonly started_at: string;
    readonly finished_at: string | null;
  }[];
}

export interface ArtifactJson {
  readonly index: number;
  readonly url: string;
  readonly media_type: string;
  readonly width: number;
  readonly height: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly seed: Integer;
}

/** A job with all that is recorded of it. */
export interface DebugJson {
  readonly version: string;
  readonly job: JobJson;
  readonly attempts: readonly DebugAttemptJson[];
  readonly next_attempt: {
    readonly alone: boolean;
    readonly avoids: readonly string[];
    readonly checkpoint: { readonly step: number; readonly attempt: number } | null;
  };
}

export interface DebugAttemptJson {
  readonly number: number;
  readonly node: string | null;
  readonly worker: string | null;
  readonly device: string | null;
  readonly outcome: string;
  readonly failure: (FailureJson & { readonly detail: string | null; readonly requested_bytes: number | null }) | null;
  readonly memory: { readonly total_bytes: number; readonly free_bytes: number } | null;
  readonly peak_memory_bytes: number | null;
  readonly degradations: readonly { readonly rung: string; readonly fidelity: string; readonly cause: string }[];
  readonly resumed_from_step: number | null;
  readonly versions: Readonly<Record<string, string>> | null;
}

export interface WorkerJson {
  readonly id: string;
  readonly node: string;
  readonly device: string;
  readonly state: string;
  readonly pid: number | null;
  readonly models: readonly string[];
  readonly running: number;
  readonly restarts: number;
  readonly reason: string | null;
}

export interface ProblemJson {
  readonly title: string;
  readonly status: number;
  readonly detail?: string;
  readonly code: string;
  readonly errors?: readonly {
    readonly field: string;
    readonly message: string;
    readonly value: unknown;
    readonly limit: unknown;
  }[];
}

const FINAL_STATES = ['succeeded', 'failed', 'cancelled', 'expired'];

export function isFinalState(state: string): boolean {
  return FINAL_STATES.includes(state);
}
