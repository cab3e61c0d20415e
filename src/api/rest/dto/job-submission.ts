import { z } from 'zod';

import { MAX_DEGRADATIONS } from '../../../domain/degradation/degradation.js';
import { OUTPUT_FORMATS } from '../../../domain/generation/generation-request.js';
import { PRIORITIES } from '../../../domain/job/priority.js';
import { boundedMap, dateTime, seed, text, unavailable } from './field-types.js';

/** A week: a job that may compute longer than that has no budget. */
const MAX_TIME_BUDGET_MS = 7 * 24 * 60 * 60 * 1000;

/** Longest names; they are looked up in short lists, so more cannot be right. */
const MAX_NAME_CHARS = 200;

const MAX_METADATA_KEYS = 16;
const MAX_METADATA_KEY_CHARS = 64;
const MAX_METADATA_VALUE_CHARS = 512;
const MAX_SCHEDULER_OPTIONS = 32;

/**
 * What a client may ask for, by type. Ranges belong to the model and are checked where the model is known
 * (jobs/submit/resolve-request.ts); the numbers here bound only what no model has a say in.
 */
export const JobSubmission = z
  .object({
    model: text(MAX_NAME_CHARS).optional().describe('Id of a served model. Absent: the default model.'),
    prompt: text().describe('What the picture shall show.'),
    negative_prompt: text().optional().describe('What it shall not show. Absent: nothing.'),
    width: z.number().optional().describe("Pixels. Absent: the model's default."),
    height: z.number().optional().describe("Pixels. Absent: the model's default."),
    num_inference_steps: z.int().optional().describe("Denoising steps. Absent: the model's default."),
    guidance_scale: z.number().optional().describe("Strength of the prompt. Absent: the model's default."),
    num_images: z.int().optional().describe('Pictures to make; picture i has seed + i. Absent: 1.'),
    seed: seed.optional(),
    scheduler: text(MAX_NAME_CHARS)
      .optional()
      .describe(
        "diffusers class name of the noise scheduler, or AUTOMATIC1111's name for it. Absent: the model's default.",
      ),
    scheduler_options: boundedMap(z.union([z.boolean(), z.number(), text(MAX_NAME_CHARS)]), {
      entries: MAX_SCHEDULER_OPTIONS,
      keyChars: MAX_NAME_CHARS,
    })
      .optional()
      .describe('Config options of the noise scheduler, such as `use_karras_sigmas`.'),
    priority: z.enum(PRIORITIES).optional().describe('Absent: normal.'),
    output_format: z.enum(OUTPUT_FORMATS).optional().describe('Absent: png.'),
    exact: z
      .boolean()
      .optional()
      .describe('True: the same bits alone, in a crowd and after a crash; costs the speed of batching. Absent: false.'),
    max_degradation: z
      .enum(MAX_DEGRADATIONS)
      .optional()
      .describe('The worst fidelity accepted when memory is short; `none` forbids every change. Absent: reduced.'),
    start_by: dateTime.nullable().optional().describe('A job that has not begun by then expires. Absent: never.'),
    finish_by: dateTime.nullable().optional().describe('A job that has not ended by then expires. Absent: never.'),
    time_budget_ms: z
      .int()
      .min(1)
      .max(MAX_TIME_BUDGET_MS)
      .nullable()
      .optional()
      .describe(
        'Milliseconds the job is meant to take from submission to end; attainment is counted, nothing is cut off. Absent: none.',
      ),
    webhook: unavailable('webhooks are not available in this version').optional(),
    metadata: boundedMap(text(MAX_METADATA_VALUE_CHARS), {
      entries: MAX_METADATA_KEYS,
      keyChars: MAX_METADATA_KEY_CHARS,
    })
      .optional()
      .describe('Words of yours that come back with the job.'),
  })
  .strict()
  .meta({
    examples: [
      { prompt: 'a small red circle left of a blue star on a white background', num_inference_steps: 20, seed: 7 },
    ],
  });

export const MAX_BATCH = 100;

export const BatchSubmission = z.strictObject({
  requests: z.array(JobSubmission).min(1).max(MAX_BATCH).describe('All of them are accepted, or none.'),
});
