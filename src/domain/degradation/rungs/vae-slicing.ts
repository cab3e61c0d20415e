import type { Rung } from '../rung.js';

/** The VAE takes one image of a batch after the other; its last bits may differ from those of a batch. */
export const vaeSlicing: Rung = {
  name: 'vae_slicing',
  fidelity: 'equivalent',
  relieves: ['decode'],
  apply(plan) {
    const images = plan.maxImages ?? plan.seeds.length;
    if (plan.memory.vaeSlicing === true || images <= 1) return null;
    return { ...plan, memory: { ...plan.memory, vaeSlicing: true } };
  },
};
