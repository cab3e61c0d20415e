import type { Progress } from './job.js';
import type { Phase } from './phase.js';

/** Share of an attempt's time that has passed when a phase begins. Denoising is nearly all of it on every device. */
const BEGINS_AT: Record<Phase, number> = {
  load: 0,
  encode: 0.02,
  prepare: 0.04,
  denoise: 0.05,
  decode: 0.92,
  validate: 0.97,
  save: 0.98,
};

/** Progress of an attempt that has come to its end. */
export function whole(progress: Progress): Progress {
  return { ...progress, fraction: 1, etaMs: 0 };
}

/** Progress at the start of a phase. */
export function progressAtPhase(phase: Phase, step: number, steps: number): Progress {
  return { phase, step, steps, fraction: BEGINS_AT[phase], etaMs: null };
}

/**
 * Progress after a denoising step. The time left is that of the steps to come at the pace so far, and as much again as
 * denoising takes of the whole.
 *
 * @param elapsedMs time since denoising began
 */
export function progressAtStep(step: number, steps: number, elapsedMs: number): Progress {
  const share = BEGINS_AT.decode - BEGINS_AT.denoise;
  const fraction = BEGINS_AT.denoise + share * (step / steps);
  const denoiseMs = (elapsedMs / step) * steps;
  const afterMs = (denoiseMs / share) * (1 - BEGINS_AT.decode);
  return { phase: 'denoise', step, steps, fraction, etaMs: Math.round(denoiseMs - elapsedMs + afterMs) };
}
