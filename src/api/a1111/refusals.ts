import type { FieldProblem } from '../../jobs/submit/generation-input.js';
import type { GenerationFields } from './dto/generation-fields.js';

type Field = keyof GenerationFields;

interface Demand {
  /** What is accepted, as it is shown. */
  readonly limit: unknown;
  readonly message: string;
  readonly holds: (value: unknown) => boolean;
}

const none = (message: string): Demand => ({
  limit: { absent: true },
  message,
  holds: (value) => value === '' || value === 'None' || value === null || (Array.isArray(value) && value.length === 0),
});
const off = (message: string): Demand => ({ limit: false, message, holds: (value) => value === false || value === 0 });
const oneOf = (values: readonly unknown[], message: string): Demand => ({
  limit: values,
  message,
  holds: (value) => values.includes(value),
});

/** Fields that change the picture and cannot be honoured, but for the values that ask for nothing. */
const DEMANDS: Partial<Record<Field, Demand>> = {
  styles: none('there are no styles here'),
  subseed_strength: oneOf([0], 'seeds cannot be mixed'),
  seed_resize_from_h: { limit: { max: 0 }, message: 'noise cannot be resized', holds: (value) => Number(value) <= 0 },
  seed_resize_from_w: { limit: { max: 0 }, message: 'noise cannot be resized', holds: (value) => Number(value) <= 0 },
  restore_faces: off('there is no face restorer here'),
  tiling: off('pictures that tile cannot be made'),
  // 1 is what ancestral samplers have anyway; the client webuiapi sends it with every request.
  eta: oneOf([0, 1], 'samplers are run with their own eta'),
  s_churn: oneOf([0], 'noise cannot be churned'),
  s_noise: oneOf([1], 'noise cannot be scaled'),
  s_min_uncond: oneOf([0], 'guidance is not skipped at any step'),
  refiner_checkpoint: none('there is no refiner here'),
  script_name: none('there are no scripts here'),
  infotext: none('the fields of an infotext have to be sent as fields'),
  enable_hr: off('there is no second pass; ask for the width and height that are wanted'),
  inpainting_mask_invert: off('a mask cannot be inverted here; send it the other way round: white is painted anew'),
  inpainting_fill: oneOf([0, 1], 'what is painted anew begins with what is there; 1 says so'),
  initial_noise_multiplier: oneOf([1], 'noise cannot be scaled'),
  latent_mask: none('a mask is laid over the picture only'),
  mask_round: oneOf([true], 'a mask has no half tones'),
};

/** What a request asks for that would change its picture and that nobody here can do. */
export function refusals(fields: GenerationFields): FieldProblem[] {
  return Object.entries(DEMANDS).flatMap(([field, { limit, message, holds }]) => {
    const value = fields[field as Field];
    return value === undefined || holds(value) ? [] : [{ field, message, value, limit }];
  });
}
