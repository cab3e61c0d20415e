import type { Degradation, Fidelity, RungName } from '../degradation/degradation.js';
import type { JobState } from './job-state.js';
import type { Progress } from './job.js';
import type { Phase } from './phase.js';

/** What happens to a job, as told to those who watch it. All but previews are stored and can be replayed. */
export type JobEventBody =
  | { readonly type: 'state'; readonly state: JobState; readonly attempt: number }
  | { readonly type: 'phase'; readonly phase: Phase; readonly attempt: number }
  | { readonly type: 'progress'; readonly progress: Progress }
  | {
      readonly type: 'degradation';
      readonly rung: RungName;
      readonly fidelity: Fidelity;
      readonly cause: Degradation['cause'];
    }
  | { readonly type: 'artifact'; readonly index: number; readonly sha256: string; readonly seed: string }
  /** The last event of a job; whoever shows it reads the job beside it. */
  | { readonly type: 'final' };

/** A stored event. */
export interface JobEvent {
  readonly jobId: string;
  /** From 1, growing by one per job. */
  readonly seq: number;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly body: JobEventBody;
}

/** A throw-away picture of a running job. Not stored, has no number. */
export interface PreviewFrame {
  readonly jobId: string;
  readonly step: number;
  readonly mediaType: string;
  readonly data: Uint8Array;
}
