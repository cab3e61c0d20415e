import { z } from 'zod';

import { MAX_DEGRADATIONS } from '../../../domain/degradation/degradation.js';
import { MASK_TRANSPARENCIES, OUTPUT_FORMATS } from '../../../domain/generation/generation-request.js';
import { PRIORITIES } from '../../../domain/job/priority.js';
import { boundedMap, dateTime, seed, text } from './field-types.js';
import { image } from './image-field.js';

/** A week: a job that may compute longer than that has no budget. */
const MAX_TIME_BUDGET_MS = 7 * 24 * 60 * 60 * 1000;

/** Longest names; they are looked up in short lists, so more cannot be right. */
const MAX_NAME_CHARS = 200;

const MAX_METADATA_KEYS = 16;
const MAX_METADATA_KEY_CHARS = 64;
const MAX_METADATA_VALUE_CHARS = 512;
const MAX_SCHEDULER_OPTIONS = 32;

/** Each ControlNet is a model of its own that runs at every step; each LoRA changes every weight it knows. */
const MAX_CONTROLS = 8;
const MAX_LORAS = 16;

const Control = z.strictObject({
  id: text(MAX_NAME_CHARS).describe("Id of one of the model's ControlNets."),
  image: image('The picture to follow, prepared as the ControlNet expects it (edges, depth, pose).'),
  scale: z.number().optional().describe('Weight, above 0 to 4. Absent: 1.'),
  start: z.number().optional().describe('Share of the steps at which it begins, 0 to 1. Absent: 0.'),
  end: z.number().optional().describe('Share of the steps at which it ends, above start to 1. Absent: 1.'),
});

const Lora = z.strictObject({
  id: text(MAX_NAME_CHARS).describe("Id of one of the model's LoRAs."),
  weight: z.number().optional().describe('How much of it, -4 to 4. Absent: 1.'),
});

const IpAdapter = z.strictObject({
  id: text(MAX_NAME_CHARS).describe("Id of one of the model's IP-Adapters."),
  image: image('The picture whose likeness is taken.'),
  scale: z.number().optional().describe('Weight, 0 to 4. Absent: 1.'),
});

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
    init_image: image(
      'Picture to start from, brought to `width` × `height`. Needs a model that can do `image_to_image`.',
    ).optional(),
    mask_image: image(
      'White is painted anew, black stays. Needs `init_image`, and a model that can do `inpaint`.',
    ).optional(),
    mask_transparency: z
      .enum(MASK_TRANSPARENCIES)
      .optional()
      .describe(
        'What the mask means where it is transparent: `kept`, as where it is black; `painted`, anew, whatever its colours, and where it is opaque the picture stays. Only with `mask_image`; absent: kept.',
      ),
    strength: z
      .number()
      .optional()
      .describe(
        'How far to leave `init_image`, above 0 to 1, where 1 forgets it. Only with `init_image`; absent: 0.8.',
      ),
    controls: z.array(Control).max(MAX_CONTROLS).optional().describe('ControlNets and the pictures they follow.'),
    loras: z.array(Lora).max(MAX_LORAS).optional().describe('LoRAs to apply, in this order, each once.'),
    ip_adapter: IpAdapter.optional().describe('An IP-Adapter. The job then shares no forwards.'),
    true_cfg_scale: z
      .number()
      .optional()
      .describe('Classifier-free guidance of models that were distilled on guidance (flux), 0 to 30. Absent: none.'),
    num_frames: z
      .int()
      .optional()
      .describe("Frames of a video, 1 to 512; only for models that make video. Absent: the pipeline's own number."),
    priority: z.enum(PRIORITIES).optional().describe('Absent: normal.'),
    output_format: z
      .enum(OUTPUT_FORMATS)
      .optional()
      .describe('Absent: mp4 for models that make video, which alone can write it; else png.'),
    output_quality: z
      .int()
      .optional()
      .describe(
        "Of the files, 1 to 100, where the format loses something: not for png. Absent: 90; the codec's own for mp4.",
      ),
    exact: z
      .boolean()
      .optional()
      .describe(
        'True: the same bits alone, in a crowd and after a crash; its forwards are padded to a fixed number of rows. Absent: false.',
      ),
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
        'Milliseconds the job is meant to take from submission to end; attainment is counted, nothing is cut off. Absent: `queue.time_budget_ms`.',
      ),
    webhook: text()
      .nullable()
      .optional()
      .describe(
        'An http or https address of at most 2048 characters that is told when the job is final, signed with `webhooks.secret`; without that setting it is refused. Absent: nobody.',
      ),
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
