import { z } from 'zod';

import { text } from '../../rest/dto/field-types.js';
import { image } from '../../rest/dto/image-field.js';
import { boolean, given, integer, number, object, seed } from './lenient-types.js';

/** Names are looked up in short lists, so that nothing longer can be right. */
const MAX_NAME_CHARS = 300;

/** Ids of tasks come back with the job as a word of the client's. */
const MAX_TASK_ID_CHARS = 200;

const MAX_STYLES = 50;
const MAX_PICTURES = 16;

const name = given(text(MAX_NAME_CHARS));

/**
 * Fields of both requests that are looked at. Those that are left out here are accepted with any value and change nothing:
 * docs/a1111.md lists them.
 */
const COMMON = {
  prompt: given(text()).describe('May hold `<lora:NAME:WEIGHT>`.'),
  negative_prompt: given(text()),
  styles: given(z.array(text(MAX_NAME_CHARS)).max(MAX_STYLES)).describe('Must be empty: there are none.'),
  seed: seed.optional(),
  subseed: seed.optional(),
  subseed_strength: number.describe('Must be 0.'),
  seed_resize_from_h: integer.describe('Must be 0 or less.'),
  seed_resize_from_w: integer.describe('Must be 0 or less.'),
  sampler_name: name.describe('As `/sdapi/v1/samplers` lists them, with or without the schedule: `DPM++ 2M Karras`.'),
  sampler_index: name.describe('Older name of `sampler_name`.'),
  scheduler: name.describe('As `/sdapi/v1/schedulers` lists them.'),
  batch_size: integer.describe('Pictures at a time; times `n_iter`, those of the request.'),
  n_iter: integer,
  steps: integer.describe("Absent: the model's default."),
  cfg_scale: number.describe("Absent: the model's default."),
  width: integer.describe("Pixels. Absent: the model's default."),
  height: integer.describe("Pixels. Absent: the model's default."),
  restore_faces: boolean.describe('Must be false.'),
  tiling: boolean.describe('Must be false.'),
  eta: number.describe('Must be 0 or 1.'),
  s_churn: number.describe('Must be 0.'),
  s_noise: number.describe('Must be 1.'),
  s_min_uncond: number.describe('Must be 0.'),
  override_settings: object.describe('`sd_model_checkpoint` names the model.'),
  refiner_checkpoint: name.describe('Must be empty.'),
  disable_extra_networks: boolean.describe('True: tags in the prompt are taken out and not applied.'),
  script_name: name.describe('Must be empty.'),
  alwayson_scripts: object.describe('Those of ControlNet; others must be empty.'),
  send_images: boolean.describe('False: the answer holds no pictures.'),
  infotext: given(text()).describe('Must be empty.'),
  force_task_id: given(text(MAX_TASK_ID_CHARS)).describe('Name of the request for `/internal/progress`.'),
};

export const TextToImageFields = z.object({
  ...COMMON,
  enable_hr: boolean.describe('Must be false.'),
});

export const ImageToImageFields = z.object({
  ...COMMON,
  init_images: given(z.array(image('The picture to start from.')).max(MAX_PICTURES)).describe('One of them.'),
  denoising_strength: number.describe('Above 0 to 1. Absent: 0.75.'),
  resize_mode: integer.describe('0: stretched. Others: only where the picture has the proportions of the result.'),
  mask: given(image('White is painted anew.')),
  inpainting_mask_invert: integer.or(boolean).describe('Must be 0.'),
  inpainting_fill: integer.describe('0 or 1; both begin with what is there.'),
  initial_noise_multiplier: number.describe('Must be 1.'),
  latent_mask: z.unknown().optional().describe('Must be absent.'),
  mask_round: boolean.describe('Must be true.'),
  include_init_images: boolean.describe('True: `parameters` of the answer repeats the pictures.'),
});

export type TextToImageFields = z.output<typeof TextToImageFields>;
export type ImageToImageFields = z.output<typeof ImageToImageFields>;
/** What either request may hold. */
export type GenerationFields = Partial<TextToImageFields & ImageToImageFields>;
