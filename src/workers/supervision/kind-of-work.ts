import type { ExecutionPlan } from '../../domain/generation/execution-plan.js';
import type { Phase } from '../../domain/job/phase.js';

/**
 * What makes the rounds of a phase take as long as they take, the number of images aside. Null: one cannot know, because the
 * model is compiled anew for each number of rows, in the middle of its work.
 */
export function kindOfWork(plan: ExecutionPlan, phase: Phase): string | null {
  const { model, width, height, numFrames, memory, exact, trueCfgScale, loras, inputs } = plan;
  if (model.compile) return null;
  return JSON.stringify([
    phase,
    [model.id, model.source, model.dtype, model.quantization],
    [width, height, numFrames, exact, trueCfgScale],
    memory,
    loras.map(({ source }) => source),
    inputs.controls.map(({ source }) => source),
    [inputs.ipAdapter?.source, inputs.initImage !== null],
  ]);
}
