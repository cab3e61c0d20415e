import { inexpressibleInComfyUi } from '../../domain/generation/comfyui-request.js';
import type { GenerationRequest, SchedulerOptions } from '../../domain/generation/generation-request.js';
import { maxSeed, PICTURE_FORMATS } from '../../domain/generation/generation-request.js';
import type { ModelDescription } from '../../domain/generation/model-description.js';
import { NOISE_SCHEDULERS, optionLimit, resolveSchedulerName } from '../../domain/generation/noise-scheduler.js';
import { FAMILY_PROFILES } from '../../domain/generation/pipeline-family.js';
import type { InputFile } from '../ports/artifact-store.port.js';
import type { PictureSource } from '../ports/picture-source.port.js';
import type { FieldProblem, GenerationInput } from './generation-input.js';
import { ProblemList } from './problem-list.js';
import { resolveLoras } from './resolve-add-on.js';
import { resolveImages } from './resolve-images.js';
import { resolveWebhook } from './webhook-url.js';

/** Scales above this burn out in every model; the bound of `guidance_scale` says the same. */
const MAX_TRUE_CFG_SCALE = 30;

/** Some 20 seconds of 24 frames; no open model is trained on more. */
const MAX_NUM_FRAMES = 512;

export type Resolution =
  | { readonly ok: true; readonly request: GenerationRequest; readonly files: readonly InputFile[] }
  | { readonly ok: false; readonly problems: readonly FieldProblem[] };

interface Models {
  find(id: string): ModelDescription | null;
  default(): ModelDescription;
  list(): readonly ModelDescription[];
}

/** What decides beside the model. */
export interface Terms {
  /** Epoch milliseconds. */
  readonly now: number;
  readonly webhooksEnabled: boolean;
  /** Which addresses of pictures may be fetched. */
  readonly pictureSource: Pick<PictureSource, 'refusal'>;
  /** For requests that name none; null: no budget. */
  readonly timeBudgetMs: number | null;
  /** Asked only when no seed was given. */
  drawSeed(): string;
}

/**
 * Fills in the model's defaults and checks every field against the model's limits. Reports all problems at once, each with
 * field, value and limit, so that a person mends a request in one go.
 */
export function resolveRequest(input: GenerationInput, models: Models, terms: Terms): Resolution {
  const { now } = terms;
  const model = input.model === undefined ? models.default() : models.find(input.model);
  if (model === null) {
    const known = models.list().map(({ id }) => id);
    return {
      ok: false,
      problems: [{ field: 'model', message: 'no such model is served', value: input.model, limit: known }],
    };
  }
  const problems = new ProblemList();
  const { limits, defaults } = model;
  const side = (field: 'width' | 'height', value: number) => {
    problems.range(field, value, limits[`min_${field}`], limits[`max_${field}`]);
    if (value % limits.size_multiple !== 0) {
      const message = `must be a multiple of ${limits.size_multiple}`;
      problems.add(field, message, value, { multiple_of: limits.size_multiple });
    }
    return value;
  };
  const text = (field: string, value: string) => {
    if (value.length > limits.max_prompt_chars) {
      const message = `must be at most ${limits.max_prompt_chars} characters long`;
      const shown = `${value.slice(0, 40)}… (${value.length} characters)`;
      problems.add(field, message, shown, { max_chars: limits.max_prompt_chars });
    }
    return value;
  };

  const width = side('width', input.width ?? defaults.width);
  const height = side('height', input.height ?? defaults.height);
  const numImages = problems.range('num_images', input.num_images ?? 1, 1, limits.max_num_images);
  if (input.prompt.trim() === '') problems.add('prompt', 'must not be empty', input.prompt, { min_chars: 1 });
  const scheduler = resolveScheduler(input, model, problems);
  const seed = input.seed ?? terms.drawSeed();
  const highest = maxSeed(Math.max(numImages, 1));
  if (BigInt(seed) < 0n || BigInt(seed) > highest) {
    const message = `must be from 0 to ${highest}, so that every image has a seed below 2^63`;
    problems.add('seed', message, seed, { min: 0, max: highest.toString() });
  }
  for (const field of ['start_by', 'finish_by'] as const) {
    const at = input[field];
    if (at !== undefined && at <= now) {
      const limit = { after: new Date(now).toISOString() };
      problems.add(field, 'must lie in the future', new Date(at).toISOString(), limit);
    }
  }
  const images = resolveImages(input, model, terms.pictureSource, problems);
  const loras = resolveLoras(input.loras ?? [], model, problems);
  const trueCfgScale = resolveTrueCfgScale(input, model, problems);
  const output = resolveOutput(input, model, problems);
  const request: GenerationRequest = {
    model: model.id,
    prompt: text('prompt', input.prompt),
    negative_prompt: text('negative_prompt', input.negative_prompt ?? ''),
    width,
    height,
    num_inference_steps: problems.range(
      'num_inference_steps',
      input.num_inference_steps ?? defaults.num_inference_steps,
      limits.min_num_inference_steps,
      limits.max_num_inference_steps,
    ),
    guidance_scale: problems.range(
      'guidance_scale',
      input.guidance_scale ?? defaults.guidance_scale,
      limits.min_guidance_scale,
      limits.max_guidance_scale,
    ),
    num_images: numImages,
    seed,
    ...scheduler,
    ...(trueCfgScale !== undefined && { true_cfg_scale: trueCfgScale }),
    ...images.fields,
    ...(loras && { loras }),
    ...output,
    priority: input.priority ?? 'normal',
    exact: input.exact ?? false,
    max_degradation: input.max_degradation ?? 'reduced',
    start_by: input.start_by ?? null,
    finish_by: finishBy(input, terms.now),
    time_budget_ms: input.time_budget_ms ?? terms.timeBudgetMs,
    webhook: resolveWebhook(input.webhook, terms, problems),
    metadata: input.metadata ?? {},
  };
  // Where workers serve the model too, they take what ComfyUI cannot.
  for (const { field, message, value, limit } of model.isLocal ? [] : inexpressibleInComfyUi(request, model.family)) {
    if (!problems.all.some((told) => told.field === field)) problems.add(field, message, value, limit);
  }
  return problems.all.length > 0 ? { ok: false, problems: problems.all } : { ok: true, request, files: images.files };
}

/** Guidance beside the one a model was distilled on; only some pipelines have room for it. */
function resolveTrueCfgScale(
  { true_cfg_scale: scale }: GenerationInput,
  model: ModelDescription,
  problems: ProblemList,
): number | undefined {
  if (scale === undefined) return undefined;
  if (!FAMILY_PROFILES[model.family].trueCfg) {
    const message = `models of the family ${model.family} have no guidance but guidance_scale`;
    problems.add('true_cfg_scale', message, scale, { absent: true });
  }
  return problems.range('true_cfg_scale', scale, 0, MAX_TRUE_CFG_SCALE);
}

/** Format and quality of the files, and frames of a video. */
function resolveOutput(
  { output_format, output_quality, num_frames }: GenerationInput,
  model: ModelDescription,
  problems: ProblemList,
): Pick<GenerationRequest, 'output_format' | 'output_quality' | 'num_frames'> {
  const isVideo = ['text_to_video', 'image_to_video'].some((task) => model.capabilities.includes(task));
  const format = output_format ?? (isVideo ? 'mp4' : 'png');
  if (format === 'mp4' && !isVideo)
    problems.add('output_format', `the model ${model.id} makes pictures, not videos`, format, PICTURE_FORMATS);
  if (output_quality !== undefined && format === 'png')
    problems.add('output_quality', 'is for formats that lose something; png loses nothing', output_quality, {
      absent: true,
    });
  const quality =
    output_quality === undefined ? {} : { output_quality: problems.range('output_quality', output_quality, 1, 100) };
  if (num_frames === undefined) return { output_format: format, ...quality };
  if (!isVideo)
    problems.add('num_frames', `the model ${model.id} makes pictures, not videos`, num_frames, { absent: true });
  const frames = problems.range('num_frames', num_frames, 1, MAX_NUM_FRAMES);
  return { output_format: format, ...quality, num_frames: frames };
}

/** Class and options of the noise scheduler; problems are added to the list. Options of another class are not carried over. */
function resolveScheduler(
  input: GenerationInput,
  model: ModelDescription,
  problems: ProblemList,
): { scheduler: string; scheduler_options: SchedulerOptions } {
  const named = input.scheduler === undefined ? null : resolveSchedulerName(input.scheduler);
  if (input.scheduler !== undefined && (named === null || !model.schedulers.includes(named.scheduler))) {
    const message = named === null ? 'no such noise scheduler' : `the model ${model.id} cannot be run with it`;
    problems.add('scheduler', message, input.scheduler, model.schedulers);
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
      const what = scheduler === '' ? `the noise scheduler of ${model.id}` : scheduler;
      problems.add(field, `${what} has no such option`, value, Object.keys(rules));
      continue;
    }
    const limit = optionLimit(rule, value);
    if (limit !== null) problems.add(field, `must be ${limit}`, value, limit);
  }
  return { scheduler, scheduler_options: { ...implied, ...named?.options, ...input.scheduler_options } };
}

function finishBy({ finish_by, finish_within_ms }: GenerationInput, now: number): number | null {
  if (finish_within_ms === undefined) return finish_by ?? null;
  return Math.min(finish_by ?? Number.POSITIVE_INFINITY, now + finish_within_ms);
}
