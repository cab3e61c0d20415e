import type { ExecutionPlan } from '../generation/execution-plan.js';
import type { ModelDescription } from '../generation/model-description.js';
import type { Phase } from '../job/phase.js';
import type { DeviceKind } from '../placement/device.js';
import type { MaxDegradation, RungName } from './degradation.js';
import { MAX_DEGRADATIONS } from './degradation.js';
import type { LadderTerms, Rung } from './rung.js';
import { groupOffload } from './rungs/group-offload.js';
import { lowerResolution } from './rungs/lower-resolution.js';
import { phaseResidency } from './rungs/phase-residency.js';
import { smallerBatch } from './rungs/smaller-batch.js';
import { vaeSlicing } from './rungs/vae-slicing.js';
import { vaeTiling } from './rungs/vae-tiling.js';

export type { LadderTerms, Rung } from './rung.js';

/** All rungs in their order. What stands before the first one, freeing caches and idle models, the worker does by itself. */
export const LADDER: readonly Rung[] = [
  smallerBatch,
  vaeSlicing,
  vaeTiling,
  phaseResidency,
  groupOffload,
  lowerResolution,
];

/** What a request accepts. */
export interface Acceptance {
  readonly maxDegradation: MaxDegradation;
  /** Promised the same bits: then only rungs that change none. */
  readonly exact: boolean;
}

/** ComfyUI draws image after image and moves weights by itself. */
const REMOTE_RUNGS: readonly RungName[] = ['vae_tiling', 'lower_resolution'];

/** What the ladder has to know of a model, and of what it runs on. */
export function ladderTerms({ limits, components, quantization }: ModelDescription, kind?: DeviceKind): LadderTerms {
  const isDenoiser = (name: string) => name === 'unet' || name === 'transformer';
  // Quantized weights stay where they are; a worker refuses a plan that moves them.
  const isQuantized = (name: string) =>
    quantization !== null &&
    (quantization.components.length === 0 ? isDenoiser(name) : quantization.components.includes(name));
  const names = Object.keys(components).filter((name) => !isQuantized(name));
  return {
    sizeMultiple: limits.size_multiple,
    minWidth: limits.min_width,
    minHeight: limits.min_height,
    components: names,
    denoiser: names.find(isDenoiser) ?? null,
    ...(kind === 'remote' && { only: REMOTE_RUNGS }),
  };
}

export function accepts({ fidelity }: Rung, { maxDegradation, exact }: Acceptance): boolean {
  const worst = MAX_DEGRADATIONS.indexOf(maxDegradation);
  return MAX_DEGRADATIONS.indexOf(fidelity) <= (exact ? Math.min(worst, MAX_DEGRADATIONS.indexOf('identical')) : worst);
}

/** The plan on these rungs, taken in the order given; one that changes nothing is passed over. */
export function onRungs(plan: ExecutionPlan, rungs: readonly RungName[], terms: LadderTerms): ExecutionPlan {
  return rungs.reduce((standing, name) => rungNamed(name).apply(standing, terms) ?? standing, plan);
}

/**
 * The next rung for a plan that does not fit: the first one that is accepted, lowers the memory of this phase (null: of any)
 * and changes the plan. Null: there is none.
 */
export function nextRung(
  plan: ExecutionPlan,
  phase: Phase | null,
  acceptance: Acceptance,
  terms: LadderTerms,
): Rung | null {
  const isKnown = ({ name }: Rung) => terms.only === undefined || terms.only.includes(name);
  const helps = (rung: Rung) => isKnown(rung) && (phase === null || rung.relieves.includes(phase));
  return LADDER.find((rung) => accepts(rung, acceptance) && helps(rung) && rung.apply(plan, terms) !== null) ?? null;
}

function rungNamed(name: RungName): Rung {
  const found = LADDER.find((rung) => rung.name === name);
  if (found === undefined) throw new RangeError(`${name} is no rung of the ladder`);
  return found;
}
