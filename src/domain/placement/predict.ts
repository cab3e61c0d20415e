import type { ExecutionPlan } from '../generation/execution-plan.js';
import type { Phase } from '../job/phase.js';
import type { ModelFootprint, PhaseFootprint } from './footprint.js';

/** Side in pixels of the tiles of the VAE, by the worker's settings for them. */
const TILE_SIDE = { off: Number.POSITIVE_INFINITY, tiled: 512, aggressive: 256 } as const;

/** Share of a component that is on the device while it comes block by block, as the worker counts it. */
const GROUPS_HELD = 0.2;

/** What a plan takes in a phase, in bytes. */
export interface PhaseDemand {
  readonly phase: Phase;
  readonly weightsBytes: number;
  /** Over the weights, of one forward. */
  readonly forwardBytes: number;
}

/** What a plan takes in each phase that is known. With no phase known, the weights alone count, under `load`. */
export function demands(plan: ExecutionPlan, footprint: ModelFootprint): readonly PhaseDemand[] {
  const load = { phase: 'load' as const, weightsBytes: weightsIn('load', plan, footprint), forwardBytes: 0 };
  const phases = footprint.phases.map((one) => ({
    phase: one.phase,
    weightsBytes: weightsIn(one.phase, plan, footprint),
    forwardBytes: Math.ceil(one.fixedBytes + bytesPerPicturePixel(one, plan) * countedPixels(one.phase, plan)),
  }));
  return [load, ...phases];
}

/** Peak memory of a plan in bytes: weights and forward of its worst phase. */
export function peakBytes(plan: ExecutionPlan, footprint: ModelFootprint): number {
  return Math.max(...demands(plan, footprint).map(({ weightsBytes, forwardBytes }) => weightsBytes + forwardBytes));
}

/** Peak over the weights in bytes: that of its largest forward. */
export function forwardBytes(plan: ExecutionPlan, footprint: ModelFootprint): number {
  return Math.max(...demands(plan, footprint).map((demand) => demand.forwardBytes));
}

/** The phase that takes most. */
export function worstPhase(plan: ExecutionPlan, footprint: ModelFootprint): Phase {
  const total = ({ weightsBytes, forwardBytes: forward }: PhaseDemand) => weightsBytes + forward;
  return demands(plan, footprint).reduce((worst, one) => (total(one) > total(worst) ? one : worst)).phase;
}

/** Width times height of the largest picture of this plan that is expected to fit. 0: not even the weights do. */
export function largestPixels(plan: ExecutionPlan, footprint: ModelFootprint, budgetBytes: number): number {
  const limits = footprint.phases.map((one) => {
    const room = budgetBytes - weightsIn(one.phase, plan, footprint) - one.fixedBytes;
    const perPixel = bytesPerPicturePixel(one, plan);
    if (room < 0) return 0;
    // In tiles a larger picture costs no more, as far as this goes.
    if (perPixel === 0 || isTiled(one.phase, plan)) return Number.MAX_SAFE_INTEGER;
    return Math.floor(room / perPixel);
  });
  return Math.min(Number.MAX_SAFE_INTEGER, ...limits);
}

/** Bytes that one pixel of a picture costs in a forward: of all rows that go through it together. */
function bytesPerPicturePixel({ phase, bytesPerPixel }: PhaseFootprint, plan: ExecutionPlan): number {
  const images = plan.maxImages ?? plan.seeds.length;
  // With classifier-free guidance each picture is denoised with and without its prompt.
  if (phase === 'denoise') return bytesPerPixel * images * 2;
  return bytesPerPixel * (phase === 'decode' && plan.memory.vaeSlicing === true ? 1 : images);
}

function countedPixels(phase: Phase, plan: ExecutionPlan): number {
  const pixels = plan.width * plan.height;
  return isTiled(phase, plan) ? Math.min(pixels, TILE_SIDE[plan.memory.vaeTiling ?? 'off'] ** 2) : pixels;
}

function isTiled(phase: Phase, plan: ExecutionPlan): boolean {
  return phase === 'decode' && (plan.memory.vaeTiling ?? 'off') !== 'off';
}

/** Weights that are on the device in a phase. Where components are not known, all of them. */
function weightsIn(phase: Phase, plan: ExecutionPlan, { components, weightsBytes }: ModelFootprint): number {
  const parts = Object.entries(components);
  if (parts.length === 0) return weightsBytes;
  const { residency } = plan.memory;
  return parts.reduce((sum, [name, bytes]) => {
    switch (residency[name] ?? 'resident') {
      case 'resident':
        return sum + bytes;
      case 'group_offload':
        return sum + (isAtWork(name, phase) ? bytes * GROUPS_HELD : 0);
      case 'phase':
        return sum + (isAtWork(name, phase) ? bytes : 0);
    }
  }, 0);
}

/** Pictures a request brings are encoded while it is prepared, so the VAE is at work then too. */
function isAtWork(component: string, phase: Phase): boolean {
  switch (phase) {
    case 'encode':
      return component.startsWith('text_encoder') || component.startsWith('image_encoder');
    case 'prepare':
    case 'decode':
      return component === 'vae';
    case 'denoise':
      return component === 'unet' || component.startsWith('transformer');
    case 'load':
    case 'validate':
    case 'save':
      return false;
  }
}
