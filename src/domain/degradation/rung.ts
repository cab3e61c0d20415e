import type { ExecutionPlan } from '../generation/execution-plan.js';
import type { Phase } from '../job/phase.js';
import type { Fidelity, RungName } from './degradation.js';

/** What a rung has to know of the model beside the plan. */
export interface LadderTerms {
  /** Width and height are multiples of this. */
  readonly sizeMultiple: number;
  readonly minWidth: number;
  readonly minHeight: number;
  /** Components whose weights can be moved, by their names in the pipeline. Empty: none, or they are not known. */
  readonly components: readonly string[];
  /** The one among them that denoises; null: it cannot be moved, or is not known. */
  readonly denoiser: string | null;
  /** The rungs that mean something where it is to run; absent: all. */
  readonly only?: readonly RungName[];
}

/** One named change that makes a plan take less memory. */
export interface Rung {
  readonly name: RungName;
  readonly fidelity: Fidelity;
  /** Phases whose memory it lowers. */
  readonly relieves: readonly Phase[];
  /** The plan on this rung; null: it would not change, because it stands there or the rung does not apply. */
  apply(plan: ExecutionPlan, terms: LadderTerms): ExecutionPlan | null;
}
