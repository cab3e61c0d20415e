import { readImageHeader } from '../../domain/generation/image-header.js';
import type { PictureUrl } from '../../jobs/submit/picture.js';
import { Picture } from '../../jobs/submit/picture.js';

/** In pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Whether stretching a picture to a size distorts it. What cannot be told yet, of an address or a damaged file, does not. */
export function hasOtherProportions(picture: Picture | PictureUrl, { width, height }: Size): boolean {
  const header = picture instanceof Picture ? readImageHeader(picture.bytes) : null;
  return header !== null && header.width * height !== header.height * width;
}
