import type { FailureKind } from '../failure/failure-kind.js';

/** How close a picture made under a rung is to the one asked for, best first. */
export const FIDELITIES = ['identical', 'equivalent', 'reduced'] as const;
export type Fidelity = (typeof FIDELITIES)[number];

/** The worst fidelity a request accepts; `none` forbids every rung, also those that change no bit. */
export const MAX_DEGRADATIONS = ['none', ...FIDELITIES] as const;
export type MaxDegradation = (typeof MAX_DEGRADATIONS)[number];

/** The rungs of the ladder, in its order; what each does stands in `ladder.ts`. */
export const RUNG_NAMES = [
  'smaller_batch',
  'vae_slicing',
  'vae_tiling',
  'phase_residency',
  'group_offload',
  'lower_resolution',
] as const;
export type RungName = (typeof RUNG_NAMES)[number];

/** A rung that was taken, and why. */
export interface Degradation {
  readonly rung: RungName;
  readonly fidelity: Fidelity;
  /** Failure kind that led to it; `predicted`: it was known beforehand that the plan would not fit. */
  readonly cause: FailureKind | 'predicted';
  readonly attempt: number;
  /** Epoch milliseconds. */
  readonly at: number;
}
