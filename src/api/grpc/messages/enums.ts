import type { MaxDegradation } from '../../../domain/degradation/degradation.js';
import type {
  MaskTransparency as MaskTransparencyWord,
  OutputFormat as OutputFormatWord,
} from '../../../domain/generation/generation-request.js';
import type { JobState as JobStateWord } from '../../../domain/job/job-state.js';
import type { Phase as PhaseWord } from '../../../domain/job/phase.js';
import type { Priority as PriorityWord } from '../../../domain/job/priority.js';
import {
  Fidelity,
  JobState,
  MaskTransparency,
  OutputFormat,
  Phase,
  Priority,
} from '../../../gen/safelight/v1/safelight.pb.js';

/** Our words and the numbers that stand for them on the wire. A word without a number does not compile. */
export const JOB_STATE: Readonly<Record<JobStateWord, JobState>> = {
  scheduled: JobState.JOB_STATE_SCHEDULED,
  queued: JobState.JOB_STATE_QUEUED,
  running: JobState.JOB_STATE_RUNNING,
  succeeded: JobState.JOB_STATE_SUCCEEDED,
  failed: JobState.JOB_STATE_FAILED,
  cancelled: JobState.JOB_STATE_CANCELLED,
  expired: JobState.JOB_STATE_EXPIRED,
};

export const PHASE: Readonly<Record<PhaseWord, Phase>> = {
  load: Phase.PHASE_LOAD,
  encode: Phase.PHASE_ENCODE,
  prepare: Phase.PHASE_PREPARE,
  denoise: Phase.PHASE_DENOISE,
  decode: Phase.PHASE_DECODE,
  validate: Phase.PHASE_VALIDATE,
  save: Phase.PHASE_SAVE,
};

export const PRIORITY: Readonly<Record<PriorityWord, Priority>> = {
  low: Priority.PRIORITY_LOW,
  normal: Priority.PRIORITY_NORMAL,
  high: Priority.PRIORITY_HIGH,
  urgent: Priority.PRIORITY_URGENT,
};

export const OUTPUT_FORMAT: Readonly<Record<OutputFormatWord, OutputFormat>> = {
  png: OutputFormat.OUTPUT_FORMAT_PNG,
  webp: OutputFormat.OUTPUT_FORMAT_WEBP,
  jpeg: OutputFormat.OUTPUT_FORMAT_JPEG,
  mp4: OutputFormat.OUTPUT_FORMAT_MP4,
};

export const MASK_TRANSPARENCY: Readonly<Record<MaskTransparencyWord, MaskTransparency>> = {
  kept: MaskTransparency.MASK_TRANSPARENCY_KEPT,
  painted: MaskTransparency.MASK_TRANSPARENCY_PAINTED,
};

export const FIDELITY: Readonly<Record<MaxDegradation, Fidelity>> = {
  none: Fidelity.FIDELITY_NONE,
  identical: Fidelity.FIDELITY_IDENTICAL,
  equivalent: Fidelity.FIDELITY_EQUIVALENT,
  reduced: Fidelity.FIDELITY_REDUCED,
};

/**
 * The word for a number of the wire. Undefined for the zero of every enum, which stands for "not given"; a number that stands
 * for nothing becomes its digits, which no word is, so that it is refused with the words there are.
 */
export function wordOf<W extends string>(numbers: Readonly<Record<W, number>>, value: number): string | undefined {
  if (value === 0) return undefined;
  return Object.keys(numbers).find((word) => numbers[word as W] === value) ?? String(value);
}
