import { z } from 'zod';

import { text } from '../../rest/dto/field-types.js';
import { image } from '../../rest/dto/image-field.js';
import { boolean, given, integer, number } from './lenient-types.js';

const MAX_NAME_CHARS = 300;

const name = given(text(MAX_NAME_CHARS));
/** Clients send "" for no picture. */
const picture = given(z.union([z.literal('').transform(() => undefined), image('The picture to follow.')]));

/** A unit of the ControlNet extension, as far as it is looked at. */
export const ControlUnit = z.object({
  enabled: boolean,
  image: given(z.union([picture, z.object({ image: picture, mask: z.unknown().optional() })])),
  input_image: picture,
  mask: picture,
  module: name,
  model: name,
  weight: number,
  guidance_start: number,
  guidance_end: number,
  control_mode: given(z.union([integer, text(MAX_NAME_CHARS)])),
  resize_mode: given(z.union([integer, text(MAX_NAME_CHARS)])),
});

export type ControlUnit = z.output<typeof ControlUnit>;
