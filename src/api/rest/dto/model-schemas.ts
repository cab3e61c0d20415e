import { z } from 'zod';

import { PIPELINE_FAMILIES } from '../../../domain/generation/pipeline-family.js';

export const ModelSchema = z.object({
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

export const ModelListSchema = z.object({ data: z.array(ModelSchema) });

export type ModelView = z.input<typeof ModelSchema>;
