import type { Rung } from '../rung.js';

/**
 * Side in pixels of the aggressive tiles of the VAEs that models of 512 pixels and more have. A smaller picture would be left
 * whole by those; a VAE made for small pictures would cut it into tiles that show.
 */
const TILE_SIDE = 256;

/** The VAE works in small tiles that overlap: seams are blended, and may be seen by who looks for them. */
export const vaeTiling: Rung = {
  name: 'vae_tiling',
  fidelity: 'equivalent',
  relieves: ['prepare', 'decode'],
  apply(plan) {
    if (plan.memory.vaeTiling === 'aggressive' || Math.max(plan.width, plan.height) <= TILE_SIDE) return null;
    return { ...plan, memory: { ...plan.memory, vaeTiling: 'aggressive' } };
  },
};
