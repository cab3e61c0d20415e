/** How close a picture made under a rung is to the one asked for, best first. */
export const FIDELITIES = ['identical', 'equivalent', 'reduced'] as const;
export type Fidelity = (typeof FIDELITIES)[number];

/** The worst fidelity a request accepts; `none` forbids every rung, also those that change no bit. */
export const MAX_DEGRADATIONS = ['none', ...FIDELITIES] as const;
export type MaxDegradation = (typeof MAX_DEGRADATIONS)[number];

/** A rung that was taken, and why. */
export interface Degradation {
  readonly rung: string;
  readonly fidelity: Fidelity;
  /** Failure kind that led to it. */
  readonly cause: string;
  readonly attempt: number;
  /** Epoch milliseconds. */
  readonly at: number;
}
