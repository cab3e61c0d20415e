import { z } from 'zod';

import { seed, text } from '../rest/dto/field-types.js';

const MAX_NAME_CHARS = 200;

/** Absent when null. */
const integer = z.int().nullish();

/** What the clients of both predecessors send; both of its names for the number of pictures. */
export const InferenceFields = z.object({
  prompt: text().describe('What the picture shall show.'),
  model: text(MAX_NAME_CHARS).nullish().describe('Id of a served model. Absent: the default model.'),
  negative_prompt: text().nullish(),
  num_inference_steps: integer.describe("Absent: the model's default."),
  num_images_per_prompt: integer.describe('Pictures to make. Absent: 1.'),
  num_images: integer.describe('Older name of `num_images_per_prompt`.'),
  guidance_scale: z.number().nullish().describe("Absent: the model's default."),
  width: integer.describe("Pixels. Absent: the model's default."),
  height: integer.describe("Pixels. Absent: the model's default."),
  seed: seed.nullish(),
  type_models: z.literal('t2im').nullish().describe('Pictures from text are all these routes make.'),
});

export type InferenceFields = z.output<typeof InferenceFields>;

const InferenceSchema = z.object({
  response: z.array(z.string()).describe('Absolute addresses of the pictures.'),
});

const InferenceErrorSchema = z.object({
  error: z.string(),
  detail: z.union([z.string(), z.array(z.unknown())]).describe('As the later one of the two told errors.'),
});

/** Schemas of these routes by the names they have in the OpenAPI document. */
export const PREDECESSOR_COMPONENTS = {
  InferenceRequest: InferenceFields,
  InferencePictures: InferenceSchema,
  InferenceError: InferenceErrorSchema,
} as const;
