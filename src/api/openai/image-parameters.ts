import { z } from 'zod';

import { PRIORITIES } from '../../domain/job/priority.js';
import { text } from '../rest/dto/field-types.js';
import { image } from '../rest/dto/image-field.js';
import { JobSubmission } from '../rest/dto/job-submission.js';

/** Most pictures of a request, as OpenAI has it; a model may have a lower limit. */
const MAX_N = 10;

/** Longest names and identifiers; the metadata of a job, where `user` ends up, holds as much. */
const MAX_WORD_CHARS = 512;

const MAX_PARTIAL_IMAGES = 3;

export interface Size {
  readonly width: number;
  readonly height: number;
}

const size = z
  .string()
  .transform((value, context): Size | 'auto' => {
    if (value === 'auto') return value;
    const [, width, height] = /^(\d{1,5})x(\d{1,5})$/.exec(value) ?? [];
    if (width !== undefined && height !== undefined) return { width: Number(width), height: Number(height) };
    const params = { limit: ['WIDTHxHEIGHT', 'auto'] };
    context.addIssue({ code: 'custom', message: 'must be WIDTHxHEIGHT in pixels, such as 512x512, or auto', params });
    return z.NEVER;
  })
  .meta({ pattern: '^(auto|\\d{1,5}x\\d{1,5})$' });

const ignored = (description: string) => text(MAX_WORD_CHARS).optional().describe(`${description} Changes nothing.`);

const { model, num_inference_steps, guidance_scale, true_cfg_scale, negative_prompt, seed, scheduler, strength } =
  JobSubmission.shape;

/** What generations and edits have in common. */
const COMMON = {
  prompt: text().describe('What the picture shall show.'),
  model,
  n: z.int().min(1).max(MAX_N).optional().describe('Pictures to make; picture i has seed + i. Absent: 1.'),
  quality: z
    .enum(['auto', 'low', 'medium', 'high', 'standard', 'hd'])
    .optional()
    .describe('Told back, and otherwise without effect: `num_inference_steps` decides. Absent: auto.'),
  background: z
    .enum(['auto', 'opaque'])
    .optional()
    .describe('Models here draw no transparency, so that `transparent` is refused.'),
  response_format: z
    .enum(['url', 'b64_json'])
    .optional()
    .describe('Absent: both, because some clients read the one and some the other without asking.'),
  output_format: z.enum(['png', 'jpeg', 'webp']).optional().describe('Absent: png.'),
  output_compression: z
    .int()
    .min(0)
    .max(100)
    .optional()
    .describe('Quality of the file for jpeg and webp, 100 being the best. png takes 100 only. Absent: 90.'),
  stream: z.boolean().optional().describe('True: server-sent events. Absent: false.'),
  partial_images: z
    .int()
    .min(0)
    .max(MAX_PARTIAL_IMAGES)
    .optional()
    .describe('Previews told on the way while streaming, at most. Absent: 0.'),
  user: text(MAX_WORD_CHARS).optional().describe('Kept with the job, as `user` of its metadata; not looked at.'),
  safety_identifier: text(MAX_WORD_CHARS).optional().describe('The newer name of `user`, which it takes the place of.'),
  style: ignored('Such as vivid or natural.'),
  moderation: ignored('Nothing is moderated here.'),
  seed,
  num_inference_steps,
  guidance_scale,
  true_cfg_scale,
  negative_prompt,
  scheduler,
  priority: z.enum(PRIORITIES).optional().describe('Absent: normal.'),
} as const;

export const ImageGeneration = z.strictObject({
  ...COMMON,
  size: size.optional().describe("`WIDTHxHEIGHT`, or `auto`. Absent: auto, the model's default."),
});

export const ImageEdit = z.strictObject({
  ...COMMON,
  size: size
    .optional()
    .describe(
      "`WIDTHxHEIGHT`, or `auto`: as many pixels as the model's default, in the proportions of the picture. Absent: auto.",
    ),
  image: image('The picture to edit; a file, under this name or `image[]`. One.').optional(),
  mask: image('Where it is transparent the picture is painted anew; a file.').optional(),
  strength: strength.describe(
    'How far to leave the picture, above 0 to 1, where 1 forgets it. Absent: 0.8; with a mask 1, which forgets what was under it.',
  ),
  input_fidelity: ignored('`strength` decides.'),
});
