import type { RungName } from '../degradation/degradation.js';
import type { Acceptance, LadderTerms, Rung } from '../degradation/ladder.js';
import { LADDER, nextRung } from '../degradation/ladder.js';
import type { ExecutionPlan } from '../generation/execution-plan.js';
import type { Phase } from '../job/phase.js';
import type { KnownOverrun, ModelFootprint } from './footprint.js';
import { peakBytes, worstPhase } from './predict.js';

/** An overrun seen once may be chance: something else that was on the device at that moment. */
const TIMES_TO_BELIEVE = 2;

/** After this time, in milliseconds, it is tried again: what took the memory may have gone. */
const BELIEVED_MS = 3_600_000;

/** What a device has for a plan. */
export interface PlanAhead {
  readonly plan: ExecutionPlan;
  /** Null: nothing is known of the model. */
  readonly footprint: ModelFootprint | null;
  /** Null: nothing is known of the device. */
  readonly budgetBytes: number | null;
  readonly acceptance: Acceptance;
  readonly terms: LadderTerms;
  /** Epoch milliseconds. */
  readonly now: number;
}

/**
 * Rungs a plan has to take before it runs because it would not fit otherwise, by prediction or because the like did not fit
 * before. `fits` false: it is not expected to fit on these either, which are all there are.
 */
export function rungsAhead({ plan, footprint, budgetBytes, acceptance, terms, now }: PlanAhead): {
  readonly rungs: readonly RungName[];
  readonly fits: boolean;
} {
  const rungs: RungName[] = [];
  if (footprint === null || budgetBytes === null) return { rungs, fits: true };
  const believed = footprint.overruns.filter(({ times, at }) => times >= TIMES_TO_BELIEVE && now - at < BELIEVED_MS);
  for (let standing = plan; ;) {
    const phase = overrunPhase(standing, { ...footprint, overruns: believed }, budgetBytes, terms);
    if (phase === null) return { rungs, fits: true };
    const rung = nextRung(standing, phase, acceptance, terms);
    const next = rung?.apply(standing, terms) ?? null;
    if (rung === null || next === null) return { rungs, fits: false };
    rungs.push(rung.name);
    standing = next;
  }
}

/** The phase a plan would not fit in; null: it fits. */
function overrunPhase(
  plan: ExecutionPlan,
  footprint: ModelFootprint,
  budgetBytes: number,
  terms: LadderTerms,
): Phase | null {
  if (peakBytes(plan, footprint) > budgetBytes) return worstPhase(plan, footprint);
  const known = footprint.overruns.find((overrun) => applies(overrun, plan, budgetBytes, terms));
  return known?.phase ?? null;
}

/** Whether a plan is as large as one that did not fit, on a device no larger, with no rung more that would help. */
function applies(overrun: KnownOverrun, plan: ExecutionPlan, budgetBytes: number, terms: LadderTerms): boolean {
  if (plan.width * plan.height < overrun.pixels || budgetBytes > overrun.budgetBytes) return false;
  return LADDER.filter(({ relieves }) => relieves.includes(overrun.phase)).every(
    (rung) => overrun.rungs.includes(rung.name) || !isTaken(rung, plan, terms),
  );
}

/** Whether a plan stands on a rung, rather than that the rung is of no use to it. */
function isTaken(rung: Rung, plan: ExecutionPlan, terms: LadderTerms): boolean {
  switch (rung.name) {
    case 'smaller_batch':
      return plan.maxImages !== null && plan.maxImages < plan.seeds.length;
    case 'lower_resolution':
      return plan.isReduced;
    case 'vae_slicing':
      return plan.memory.vaeSlicing === true;
    case 'vae_tiling':
      return plan.memory.vaeTiling === 'aggressive';
    case 'phase_residency':
    case 'group_offload':
      return rung.apply(plan, terms) === null;
  }
}
