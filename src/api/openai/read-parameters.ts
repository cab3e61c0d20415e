import type { GenerationInput } from '../../jobs/submit/generation-input.js';
import { Picture } from '../../jobs/submit/picture.js';
import type { ModelCatalog } from '../../jobs/ports/model-catalog.port.js';
import { Problem } from '../http/problem.js';
import type { Fields, Shape } from '../http/read-fields.js';
import { isObject, readFields } from '../http/read-fields.js';
import type { Size } from './image-parameters.js';
import { ImageEdit, ImageGeneration } from './image-parameters.js';
import type { ParameterFault } from './parameter-problem.js';
import { ParameterProblem } from './parameter-problem.js';
import { sizeLike } from './picture-size.js';
import type { Form } from './read-form.js';

/** How a client wants to be answered. */
export interface AnswerTerms {
  /** Null: both. */
  readonly responseFormat: 'url' | 'b64_json' | null;
  /** As it is told back. */
  readonly quality: 'low' | 'medium' | 'high';
  readonly stream: boolean;
  readonly partialImages: number;
}

/** A request of this dialect: the job it asks for, and the answer. */
export interface AskedImages {
  readonly input: GenerationInput;
  readonly terms: AnswerTerms;
}

type CommonFields = Fields<typeof ImageGeneration.shape>;

/** `auto` lets the model decide, which has one way to draw: its best. */
const QUALITIES = { auto: 'high', low: 'low', medium: 'medium', high: 'high', standard: 'medium', hd: 'high' } as const;

/** Reads the body of a generation; throws the problem when it cannot be served as it is. */
export function readGeneration(body: unknown, models: ModelCatalog): AskedImages {
  const { fields, faults } = read(ImageGeneration.shape, requireObject(body));
  refuse(...faults, ...compressionFault(fields), ...videoFault(fields.model, models));
  return asked(fields, fields.size === 'auto' ? undefined : fields.size);
}

/** Reads the form of an edit; throws as {@link readGeneration}. */
export function readEdit({ values, pictures }: Form, models: ModelCatalog): AskedImages {
  const { image: imageFile, mask: maskFile, ...others } = pictures;
  const { fields, faults } = read(ImageEdit.shape, { ...values, ...others });
  const { image = imageFile, mask = maskFile, size } = fields;
  const missing = image === undefined && !faults.some(({ field }) => field === 'image');
  refuse(
    ...faults,
    ...(missing ? [required('image', 'file')] : []),
    ...compressionFault(fields),
    ...videoFault(fields.model, models),
  );
  const model = fields.model === undefined ? models.default() : models.find(fields.model);
  const isOpen = size === undefined || size === 'auto';
  const like = isOpen && model !== null && image instanceof Picture ? sizeLike(image.bytes, model) : null;
  const { input, terms } = asked(fields, isOpen ? (like ?? undefined) : size);
  const strength = fields.strength ?? (mask === undefined ? undefined : 1);
  return {
    input: {
      ...input,
      ...(image && { init_image: image }),
      ...(mask && { mask_image: mask, mask_transparency: 'painted' }),
      ...(strength !== undefined && { strength }),
    },
    terms,
  };
}

function requireObject(body: unknown): Readonly<Record<string, unknown>> {
  if (body === undefined) throw new Problem('malformed_json', 'the body is empty');
  if (!isObject(body)) throw new Problem('malformed_request', 'the body must be a JSON object');
  return body;
}

/** The fields that are right, and a fault for each that is not. A null stands for an absent value. */
function read<S extends Shape>(
  shape: S,
  values: Readonly<Record<string, unknown>>,
): { fields: Fields<S>; faults: ParameterFault[] } {
  const given = Object.fromEntries(Object.entries(withExtraBody(values)).filter(([, value]) => value !== null));
  const { fields, problems } = readFields(shape, given);
  const codeOf = (field: string, value: unknown) => {
    if (value === undefined) return 'missing_required_parameter';
    return Object.hasOwn(shape, field.split(/[.[]/, 1)[0] as string) ? 'invalid_value' : 'unknown_parameter';
  };
  return { fields, faults: problems.map((problem) => ({ ...problem, code: codeOf(problem.field, problem.value) })) };
}

/** The Python client merges `extra_body` into the body by itself; who knows it from there writes it in other languages too. */
function withExtraBody(values: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if (!isObject(values['extra_body'])) return values;
  const { extra_body, ...rest } = values;
  return { ...(extra_body as object), ...rest };
}

function required(field: string, type: string): ParameterFault {
  return { field, message: 'is required', value: undefined, limit: { type }, code: 'missing_required_parameter' };
}

/** A PNG loses nothing, whatever is asked of it. */
function compressionFault({ output_format = 'png', output_compression: value }: CommonFields): ParameterFault[] {
  if (output_format !== 'png' || value === undefined || value === 100) return [];
  const message = 'is for jpeg and webp; png takes 100 only';
  return [{ field: 'output_compression', message, value, limit: [100], code: 'invalid_value' }];
}

/** Nobody asks for a picture and means a film. */
function videoFault(id: string | undefined, models: ModelCatalog): ParameterFault[] {
  const model = id === undefined ? models.default() : models.find(id);
  const draws = ['text_to_image', 'image_to_image', 'inpaint'];
  if (model === null || model.capabilities.some((task) => draws.includes(task))) return [];
  const message = `the model ${model.id} makes videos, not pictures`;
  return [{ field: 'model', message, value: model.id, limit: { capabilities: draws }, code: 'invalid_value' }];
}

function refuse(...faults: readonly ParameterFault[]): void {
  if (faults.length > 0) throw new ParameterProblem(faults);
}

/** Parameters that are native fields as they stand. */
const NATIVE = [
  'model',
  'seed',
  'num_inference_steps',
  'guidance_scale',
  'true_cfg_scale',
  'negative_prompt',
  'scheduler',
  'priority',
] as const;

function asked(fields: CommonFields, size: Size | undefined): AskedImages {
  const { n, output_format = 'png', output_compression, quality = 'auto' } = fields;
  const user = fields.safety_identifier || fields.user;
  // The engine counts from 1.
  const fileQuality =
    output_format === 'png' || output_compression === undefined ? null : Math.max(1, output_compression);
  return {
    input: {
      ...present(fields, NATIVE),
      ...size,
      prompt: fields.prompt as string,
      output_format,
      ...(n !== undefined && { num_images: n }),
      ...(fileQuality !== null && { output_quality: fileQuality }),
      ...(user && { metadata: { user } }),
    },
    terms: {
      responseFormat: fields.response_format ?? null,
      quality: QUALITIES[quality],
      stream: fields.stream ?? false,
      partialImages: fields.partial_images ?? 0,
    },
  };
}

function present<T extends object, K extends keyof T>(fields: T, names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(names.flatMap((name) => (name in fields ? [[name, fields[name]]] : []))) as Pick<T, K>;
}
