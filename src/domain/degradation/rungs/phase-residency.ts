import type { Rung } from '../rung.js';

/** Each component is on the device for its phase only, never two at a time: text encoders, then the denoiser, then the VAE. */
export const phaseResidency: Rung = {
  name: 'phase_residency',
  fidelity: 'identical',
  relieves: ['load', 'encode', 'prepare', 'denoise', 'decode'],
  apply(plan, { components }) {
    const { residency } = plan.memory;
    const resident = components.filter((component) => (residency[component] ?? 'resident') === 'resident');
    if (resident.length === 0) return null;
    const moved = Object.fromEntries(resident.map((component) => [component, 'phase' as const]));
    return { ...plan, memory: { ...plan.memory, residency: { ...residency, ...moved } } };
  },
};
