import type { GenerationRequest, SchedulerOptions } from '../../domain/generation/generation-request.js';
import { maxSeed } from '../../domain/generation/generation-request.js';
import type { ModelDescription } from '../../domain/generation/model-description.js';
import { NOISE_SCHEDULERS, optionLimit, resolveSchedulerName } from '../../domain/generation/noise-scheduler.js';
import type { FieldProblem, GenerationInput } from './generation-input.js';

export type Resolution =
  | { readonly ok: true; readonly request: GenerationRequest }
  | { readonly ok: false; readonly problems: readonly FieldProblem[] };

interface Models {
  find(id: string): ModelDescription | null;
  default(): ModelDescription;
  list(): readonly ModelDescription[];
}

/**
 * Fills in the model's defaults and checks every field against the model's limits. Reports all problems at once, each with
 * field, value and limit, so that a person mends a request in one go. `drawSeed` is asked only when no seed was given.
 */
export function resolveRequest(
  input: GenerationInput,
  models: Models,
  now: number,
  drawSeed: () => string,
): Resolution {
  const model = input.model === undefined ? models.default() : models.find(input.model);
  if (model === null) {
    const known = models.list().map(({ id }) => id);
    return {
      ok: false,
      problems: [{ field: 'model', message: 'no such model is served', value: input.model, limit: known }],
    };
  }
  const problems: FieldProblem[] = [];
  const { limits, defaults } = model;
  const range = (field: string, value: number, min: number, max: number) => {
    if (!(value >= min && value <= max)) {
      problems.push({ field, message: `must be from ${min} to ${max}`, value, limit: { min, max } });
    }
    return value;
  };
  const side = (field: 'width' | 'height', value: number) => {
    range(field, value, limits[`min_${field}`], limits[`max_${field}`]);
    if (value % limits.size_multiple !== 0) {
      const message = `must be a multiple of ${limits.size_multiple}`;
      problems.push({ field, message, value, limit: { multiple_of: limits.size_multiple } });
    }
    return value;
  };
  const text = (field: string, value: string) => {
    if (value.length > limits.max_prompt_chars) {
      problems.push({
        field,
        message: `must be at most ${limits.max_prompt_chars} characters long`,
        value: `${value.slice(0, 40)}… (${value.length} characters)`,
        limit: { max_chars: limits.max_prompt_chars },
      });
    }
    return value;
  };

  const width = side('width', input.width ?? defaults.width);
  const height = side('height', input.height ?? defaults.height);
  const numImages = range('num_images', input.num_images ?? 1, 1, limits.max_num_images);
  if (input.prompt.trim() === '') {
    problems.push({ field: 'prompt', message: 'must not be empty', value: input.prompt, limit: { min_chars: 1 } });
  }
  const scheduler = resolveScheduler(input, model, problems);
  const seed = input.seed ?? drawSeed();
  const highest = maxSeed(Math.max(numImages, 1));
  if (BigInt(seed) < 0n || BigInt(seed) > highest) {
    const message = `must be from 0 to ${highest}, so that every image has a seed below 2^63`;
    problems.push({ field: 'seed', message, value: seed, limit: { min: 0, max: highest.toString() } });
  }
  for (const field of ['start_by', 'finish_by'] as const) {
    const at = input[field];
    if (at !== undefined && at <= now) {
      const limit = { after: new Date(now).toISOString() };
      problems.push({ field, message: 'must lie in the future', value: new Date(at).toISOString(), limit });
    }
  }
  const request: GenerationRequest = {
    model: model.id,
    prompt: text('prompt', input.prompt),
    negative_prompt: text('negative_prompt', input.negative_prompt ?? ''),
    width,
    height,
    num_inference_steps: range(
      'num_inference_steps',
      input.num_inference_steps ?? defaults.num_inference_steps,
      limits.min_num_inference_steps,
      limits.max_num_inference_steps,
    ),
    guidance_scale: range(
      'guidance_scale',
      input.guidance_scale ?? defaults.guidance_scale,
      limits.min_guidance_scale,
      limits.max_guidance_scale,
    ),
    num_images: numImages,
    seed,
    ...scheduler,
    priority: input.priority ?? 'normal',
    output_format: input.output_format ?? 'png',
    exact: input.exact ?? false,
    max_degradation: input.max_degradation ?? 'reduced',
    start_by: input.start_by ?? null,
    finish_by: input.finish_by ?? null,
    time_budget_ms: input.time_budget_ms ?? null,
    metadata: input.metadata ?? {},
  };
  return problems.length > 0 ? { ok: false, problems } : { ok: true, request };
}

/** Class and options of the noise scheduler; problems are added to the list. Options of another class are not carried over. */
function resolveScheduler(
  input: GenerationInput,
  model: ModelDescription,
  problems: FieldProblem[],
): { scheduler: string; scheduler_options: SchedulerOptions } {
  const named = input.scheduler === undefined ? null : resolveSchedulerName(input.scheduler);
  if (input.scheduler !== undefined && (named === null || !model.schedulers.includes(named.scheduler))) {
    const message = named === null ? 'no such noise scheduler' : `the model ${model.id} cannot be run with it`;
    problems.push({ field: 'scheduler', message, value: input.scheduler, limit: model.schedulers });
    return { scheduler: input.scheduler, scheduler_options: {} };
  }
  const scheduler = named?.scheduler ?? model.defaults.scheduler;
  const implied =
    named === null || named.scheduler === model.defaults.scheduler ? model.defaults.scheduler_options : {};
  const rules = NOISE_SCHEDULERS[scheduler] ?? {};
  for (const [option, value] of Object.entries(input.scheduler_options ?? {})) {
    const rule = Object.hasOwn(rules, option) ? rules[option] : undefined;
    const field = `scheduler_options.${option}`;
    if (rule === undefined) {
      problems.push({ field, message: `${scheduler} has no such option`, value, limit: Object.keys(rules) });
      continue;
    }
    const limit = optionLimit(rule, value);
    if (limit !== null) problems.push({ field, message: `must be ${limit}`, value, limit });
  }
  return { scheduler, scheduler_options: { ...implied, ...named?.options, ...input.scheduler_options } };
}
