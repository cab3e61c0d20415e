import type { Rung } from '../rung.js';

/**
 * Half as many images in one forward, down to one. A row's numbers do not depend on its company beyond the last bits, which
 * `exact` fixes by other means: such a plan has forwards of a fixed size.
 */
export const smallerBatch: Rung = {
  name: 'smaller_batch',
  fidelity: 'identical',
  relieves: ['denoise', 'decode'],
  apply(plan) {
    const images = plan.maxImages ?? plan.seeds.length;
    if (plan.exact || images <= 1) return null;
    return { ...plan, maxImages: Math.ceil(images / 2) };
  },
};
