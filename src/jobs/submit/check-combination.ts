import type { ModelDescription } from '../../domain/generation/model-description.js';
import { familyOfClass, isControlNetClass, isSteppedClass } from '../../domain/generation/pipeline-family.js';
import type { GenerationInput } from './generation-input.js';
import type { ProblemList } from './problem-list.js';

/** What diffusers' own `__call__` of image-to-image takes. */
export const DEFAULT_STRENGTH = 0.8;

/** Notes what is right field by field and refused by every worker together. */
export function checkCombination(input: GenerationInput, model: ModelDescription, problems: ProblemList): void {
  checkControls(input, model, problems);
  checkStrength(input, model, problems);
}

function checkControls(input: GenerationInput, model: ModelDescription, problems: ProblemList): void {
  const { id, pipelineClass, capabilities } = model;
  const ids = (input.controls ?? []).map((control) => control.id);
  if (ids.length === 0) {
    if (isControlNetClass(pipelineClass))
      problems.add('controls', `the model ${id} draws along a picture only: it needs controls`, null, { capabilities });
    return;
  }
  if (!isSteppedClass(pipelineClass) || !capabilities.includes('controlnet')) return;
  const besides = (['init_image', 'mask_image', 'ip_adapter'] as const).filter((field) => input[field] !== undefined);
  if (besides.length > 0) {
    const message = `the model ${id} follows ControlNets from text only, not together with ${besides.join(', ')}`;
    problems.add('controls', message, ids, { without: besides });
  }
}

/** Image-to-image of these families takes the whole steps of `num_inference_steps * strength`; others round up. */
function checkStrength(input: GenerationInput, model: ModelDescription, problems: ProblemList): void {
  if (input.init_image === undefined || !['sd15', 'sdxl'].includes(familyOfClass(model.pipelineClass))) return;
  const steps = input.num_inference_steps ?? model.defaults.num_inference_steps;
  const strength = input.strength ?? DEFAULT_STRENGTH;
  if (!(steps >= 1 && strength > 0 && steps * strength < 1)) return;
  const min = leastStrength(steps);
  problems.add('strength', `leaves none of ${steps} steps; must be at least ${min}`, strength, { min });
}

/** The quotient, or the next number above where rounding left it short of a whole step: 49 * (1 / 49) is below 1. */
function leastStrength(steps: number): number {
  const quotient = 1 / steps;
  return steps * quotient < 1 ? quotient * (1 + Number.EPSILON) : quotient;
}
