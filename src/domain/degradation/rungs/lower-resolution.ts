import type { Rung } from '../rung.js';

/** Share of width and height that is kept: 768 becomes 576, and 56 % of the pixels are left. */
const SHARE = 0.75;

/**
 * A smaller picture, the last resort: three quarters of width and height, in steps the model can make and not below what it
 * accepts. Pictures the request brings are scaled to the plan's size by the worker, as at any other size.
 */
export const lowerResolution: Rung = {
  name: 'lower_resolution',
  fidelity: 'reduced',
  relieves: ['prepare', 'denoise', 'decode', 'validate', 'save'],
  apply(plan, { sizeMultiple, minWidth, minHeight }) {
    const lower = (side: number, least: number) => {
      const multiple = Math.floor((side * SHARE) / sizeMultiple) * sizeMultiple;
      return Math.min(side, Math.max(multiple, Math.ceil(least / sizeMultiple) * sizeMultiple));
    };
    if (plan.isReduced) return null;
    const [width, height] = [lower(plan.width, minWidth), lower(plan.height, minHeight)];
    if (width === plan.width && height === plan.height) return null;
    return { ...plan, width, height, isReduced: true };
  },
};
