import { z } from 'zod';

import { PIPELINE_FAMILIES } from '../../../domain/generation/pipeline-family.js';

const ModelFacts = z.object({
  id: z.string(),
  family: z.enum(PIPELINE_FAMILIES),
  ready: z.boolean().describe('True while a worker takes work: a request for it would be run now.'),
  loaded: z
    .boolean()
    .describe('True while it is on the device of such a worker: the request would not wait for loading.'),
  default: z.boolean().describe('The one a request without `model` gets.'),
  limits: z.record(z.string(), z.number()).describe('Bounds of the fields of a request.'),
  defaults: z.record(z.string(), z.unknown()).describe('What absent fields become.'),
  schedulers: z.array(z.string()).describe('Noise schedulers a request may name.'),
  capabilities: z.array(z.string()).describe('Such as `text_to_image`, `inpaint` or `lora`.'),
  loras: z.array(z.string()).describe('Ids that `loras` of a request may name.'),
  controlnets: z.array(z.string()).describe('Ids that `controls` of a request may name.'),
  ip_adapters: z.array(z.string()).describe('Ids that `ip_adapter` of a request may name.'),
});

/** A model, and what OpenAI's clients look for in one. */
export const ModelSchema = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: z.int().describe('Since when this node serves it, in seconds since 1970.'),
  owned_by: z.literal('safelight').describe('Who serves it.'),
  aliases: z.array(z.string()).describe('Other names that a request may use for it.'),
  ...ModelFacts.omit({ id: true }).shape,
});

export const ModelListSchema = z.object({ object: z.literal('list'), data: z.array(ModelSchema) });

export type ModelView = z.input<typeof ModelFacts>;
export type ModelAnswer = z.input<typeof ModelSchema>;
export type ModelListAnswer = z.input<typeof ModelListSchema>;
