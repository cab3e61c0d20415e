import type { FieldProblem } from '../../jobs/submit/generation-input.js';

/** What this dialect calls the fields of a request, so that a refusal names what the client sent. */
const NAMES: Readonly<Record<string, string>> = {
  model: 'override_settings.sd_model_checkpoint',
  num_inference_steps: 'steps',
  guidance_scale: 'cfg_scale',
  num_images: 'batch_size',
  init_image: 'init_images',
  mask_image: 'mask',
  strength: 'denoising_strength',
  scheduler: 'sampler_name',
  scheduler_options: 'scheduler',
  loras: 'prompt',
  controls: 'alwayson_scripts.controlnet.args',
};

export function nameHere(field: string): string {
  const [top = '', ...rest] = field.split(/(?=[.[])/);
  const name = NAMES[top];
  if (name === undefined) return field;
  // Positions among controls are those of the units; other fields have no parts here.
  return top === 'controls'
    ? name +
        rest
          .join('')
          .replace(/\.id$/, '.model')
          .replace(/\.scale$/, '.weight')
    : name;
}

/** A problem in the words of this dialect. */
export function problemHere(problem: FieldProblem): FieldProblem {
  const product = problem.field === 'num_images' ? 'batch_size × n_iter ' : '';
  return { ...problem, field: nameHere(problem.field), message: product + problem.message };
}
