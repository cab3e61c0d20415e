import { z } from 'zod';

export const PicturesSchema = z.object({
  images: z.array(z.string()).describe('PNG in base64, each with its infotext.'),
  parameters: z.record(z.string(), z.unknown()).describe('The request.'),
  info: z.string().describe('JSON: seeds, prompts and infotexts of the pictures.'),
});

const StateSchema = z.object({
  skipped: z.boolean(),
  interrupted: z.boolean().describe('It ends at its next step.'),
  stopping_generation: z.boolean(),
  job: z.string().describe('Id of the request; empty for none.'),
  job_count: z.int().describe('Unfinished requests.'),
  job_timestamp: z.string(),
  job_no: z.int(),
  sampling_step: z.int(),
  sampling_steps: z.int(),
});

export const ProgressSchema = z.object({
  progress: z.number().min(0).max(1),
  eta_relative: z.number().describe('Seconds to go.'),
  state: StateSchema,
  current_image: z.string().nullable().describe('Latest preview in base64.'),
  textinfo: z.string().nullable(),
});

export const TaskProgressSchema = z.object({
  active: z.boolean(),
  queued: z.boolean(),
  completed: z.boolean(),
  progress: z.number().nullable(),
  eta: z.number().nullable().describe('Seconds to go.'),
  live_preview: z.string().nullable().describe('Latest preview as a data: URL.'),
  id_live_preview: z.int(),
  textinfo: z.string(),
});

export const OptionsSchema = z
  .looseObject({ sd_model_checkpoint: z.string().optional().describe('Id of a served model.') })
  .describe('Settings by name.');

export const PngInfoSchema = z.object({
  info: z.string(),
  items: z.record(z.string(), z.string()).describe('Other texts of the picture.'),
  parameters: z.record(z.string(), z.string()).describe('The infotext as fields.'),
});

const names = (fields: Record<string, z.ZodType>) => z.array(z.object({ name: z.string(), ...fields }));

export const ModelsSchema = z.array(
  z.object({
    title: z.string(),
    model_name: z.string(),
    hash: z.string().nullable(),
    sha256: z.string().nullable().describe('Null: no worker has told it yet.'),
    filename: z.string(),
    config: z.null(),
  }),
);
export const SamplersSchema = names({ aliases: z.array(z.string()), options: z.record(z.string(), z.string()) });
export const SchedulesSchema = names({
  label: z.string(),
  aliases: z.null(),
  default_rho: z.number(),
  need_inner_model: z.boolean(),
});
export const LorasSchema = names({ alias: z.string(), path: z.string(), metadata: z.record(z.string(), z.unknown()) });

const FieldErrorSchema = z.object({
  type: z.string(),
  loc: z.array(z.union([z.string(), z.int()])),
  msg: z.string(),
  input: z.unknown(),
  ctx: z.object({ limit: z.unknown().describe('What would be accepted.') }),
});

export const ErrorSchema = z.object({
  detail: z.union([z.string(), z.array(FieldErrorSchema)]).describe('A list for fields at fault.'),
  error: z.string().optional(),
  body: z.string().optional(),
  errors: z.string().optional(),
});
