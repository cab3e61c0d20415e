import type { Rung } from '../rung.js';

/** The denoiser lies on the host and comes block by block, each while the one before computes. */
export const groupOffload: Rung = {
  name: 'group_offload',
  fidelity: 'identical',
  relieves: ['load', 'denoise'],
  apply(plan, { denoiser }) {
    const { residency } = plan.memory;
    if (denoiser === null || residency[denoiser] === 'group_offload') return null;
    return { ...plan, memory: { ...plan.memory, residency: { ...residency, [denoiser]: 'group_offload' } } };
  },
};
