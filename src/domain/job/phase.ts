/** Where an attempt is: diffusers' own stages, in their order. `step` counts inside `denoise`. */
export const PHASES = ['load', 'encode', 'prepare', 'denoise', 'decode', 'validate', 'save'] as const;
export type Phase = (typeof PHASES)[number];

/** What a phase took. Concurrent attempts overlap, so these are wall times, not device times. */
export interface PhaseTiming {
  readonly name: Phase;
  /** Epoch milliseconds. */
  readonly startedAt: number;
  /** Epoch milliseconds; null while it runs. */
  readonly finishedAt: number | null;
  /** Denoising steps done when the phase began and ended; null outside `denoise`. */
  readonly fromStep: number | null;
  readonly toStep: number | null;
  readonly peakMemoryBytes: number | null;
}
