import type { ModelDescription } from '../../domain/generation/model-description.js';
import type { FieldProblem, GenerationInput } from '../../jobs/submit/generation-input.js';
import { invalidFields, Problem } from '../http/problem.js';
import { isObject, knownFields, readFields } from '../http/read-fields.js';
import type { ModelCatalog } from '../../jobs/ports/model-catalog.port.js';
import type { Judge } from '../rest/validate-submission.js';
import { readControls } from './control-units.js';
import type { GenerationFields } from './dto/generation-fields.js';
import { ImageToImageFields, TextToImageFields } from './dto/generation-fields.js';
import { problemHere } from './field-names.js';
import { findModel } from './model-names.js';
import { readPromptTags } from './prompt-tags.js';
import { hasOtherProportions } from './proportions.js';
import { refusals } from './refusals.js';
import { resolveSampler } from './samplers.js';
import { settingProblems } from './settings.js';

export type Task = 'txt2img' | 'img2img';

/** What AUTOMATIC1111's own img2img takes. */
const DEFAULT_DENOISING_STRENGTH = 0.75;

interface Reading {
  readonly input: GenerationInput;
  readonly fields: GenerationFields;
}

interface Context {
  readonly models: ModelCatalog;
  readonly judge: Judge;
  /** The one the caller chose by `/sdapi/v1/options`, or the server's default. */
  readonly model: ModelDescription;
}

/**
 * Reads a request of either kind; throws the problem that names every field at fault. Fields that are not known are passed
 * over, as there: every extension of AUTOMATIC1111 and every client adds some of its own.
 */
export function readGeneration(task: Task, body: unknown, context: Context): Reading {
  if (!isObject(body)) throw new Problem('malformed_request', 'the body must be a JSON object');
  const shape = task === 'txt2img' ? TextToImageFields.shape : ImageToImageFields.shape;
  const { fields, problems }: { fields: GenerationFields; problems: FieldProblem[] } = readFields(
    shape,
    knownFields(shape, body),
  );
  const found = [...problems, ...refusals(fields)];
  const settings = fields.override_settings ?? {};
  found.push(...settingProblems(settings, 'override_settings.'));
  const named = settings['sd_model_checkpoint'] ?? '';
  const model = named === '' || named === 'None' ? context.model : findModel(named, context.models);
  if (model === null) {
    const limit = context.models.list().map(({ id }) => id);
    const field = 'override_settings.sd_model_checkpoint';
    throw invalidFields([...found, { field, message: 'no such model is served', value: named, limit }]);
  }
  const input = asInput(fields, model, found);
  if (task === 'img2img') Object.assign(input, startingPicture(fields, sizeOf(fields, model), found));
  // Nothing that is right field by field is judged here: submitting does it. Beside problems, it is told as well.
  if (found.length === 0) return { input, fields };
  const resolution = context.judge.resolve(input);
  const more = resolution.ok ? [] : resolution.problems.map(problemHere);
  const told = new Set(found.map(({ field }) => field));
  throw invalidFields([...found, ...more.filter(({ field }) => !told.has(field))]);
}

function asInput(fields: GenerationFields, model: ModelDescription, found: FieldProblem[]): GenerationInput {
  const { text, loras, problems } = readPromptTags(fields.prompt ?? '');
  const sampler = resolveSampler(fields.sampler_name ?? fields.sampler_index, fields.scheduler, model);
  const { controls, problems: ofControls } = readControls(fields.alwayson_scripts ?? {}, sizeOf(fields, model));
  found.push(...problems, ...ofControls);
  if (!sampler.ok) found.push(sampler.problem);
  for (const field of ['batch_size', 'n_iter'] as const) {
    const value = fields[field] ?? 1;
    if (value < 1) found.push({ field, message: 'must be at least 1', value, limit: { min: 1 } });
  }
  const { negative_prompt, seed, steps, cfg_scale, width, height, batch_size = 1, n_iter = 1 } = fields;
  return {
    model: model.id,
    prompt: text,
    output_format: 'png',
    num_images: Math.max(1, batch_size) * Math.max(1, n_iter),
    ...(negative_prompt !== undefined && { negative_prompt }),
    ...(seed !== undefined && { seed }),
    ...(steps !== undefined && { num_inference_steps: steps }),
    ...(cfg_scale !== undefined && { guidance_scale: cfg_scale }),
    ...(width !== undefined && { width }),
    ...(height !== undefined && { height }),
    ...(sampler.ok && sampler.chosen),
    ...(loras.length > 0 && fields.disable_extra_networks !== true && { loras }),
    ...(controls.length > 0 && { controls }),
  };
}

function startingPicture(
  { init_images: pictures = [], mask, denoising_strength: strength, resize_mode: mode = 0 }: GenerationFields,
  size: ReturnType<typeof sizeOf>,
  found: FieldProblem[],
): Partial<GenerationInput> {
  const [picture] = pictures;
  if (picture === undefined || pictures.length > 1) {
    if (found.some(({ field }) => field.startsWith('init_images'))) return {};
    const message = picture === undefined ? 'is missing: the picture to start from' : 'holds more than one picture';
    found.push({ field: 'init_images', message, value: pictures.length, limit: { pictures: 1 } });
    return {};
  }
  if (mode !== 0 && hasOtherProportions(picture, size)) {
    const message = 'the picture has other proportions than the result, and is stretched only';
    found.push({ field: 'resize_mode', message, value: mode, limit: [0] });
  }
  return {
    init_image: picture,
    strength: strength ?? DEFAULT_DENOISING_STRENGTH,
    ...(mask !== undefined && { mask_image: mask }),
  };
}

function sizeOf({ width, height }: GenerationFields, { defaults }: ModelDescription) {
  return { width: width ?? defaults.width, height: height ?? defaults.height };
}
