import { readImageHeader } from '../../domain/generation/image-header.js';
import type { GenerationDefaults, GenerationLimits } from '../../domain/generation/pipeline-family.js';
import { isTurned } from './exif-orientation.js';
import type { Size } from './image-parameters.js';

interface Frame {
  readonly limits: GenerationLimits;
  readonly defaults: Pick<GenerationDefaults, 'width' | 'height'>;
}

/**
 * Size of an edit that leaves it open: as many pixels as the model's default size, in the proportions of the picture, since
 * pictures are brought to the size that is drawn. Null: it is no picture, which others will say.
 */
export function sizeLike(picture: Uint8Array, { limits, defaults }: Frame): Size | null {
  const header = readImageHeader(picture);
  if (header === null) return null;
  const [width, height] = isTurned(picture) ? [header.height, header.width] : [header.width, header.height];
  const scale = Math.sqrt((defaults.width * defaults.height) / (width * height));
  return {
    width: nearest(width * scale, limits.size_multiple, limits.min_width, limits.max_width),
    height: nearest(height * scale, limits.size_multiple, limits.min_height, limits.max_height),
  };
}

/** The multiple within the limits that is nearest. */
function nearest(pixels: number, multiple: number, min: number, max: number): number {
  const least = Math.ceil(min / multiple) * multiple;
  const most = Math.floor(max / multiple) * multiple;
  return Math.min(most, Math.max(least, Math.round(pixels / multiple) * multiple));
}
