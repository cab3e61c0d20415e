import { IMAGE_MEDIA_TYPES, readImageHeader } from '../domain/generation/image-header.js';
import type { PictureRefusal } from '../jobs/ports/picture-source.port.js';
import { tooManyBytes } from './answer-head.js';

/** Bytes after which every format but JPEG has told its size; a JPEG's may stand behind any number of segments. */
const FIRST_LOOK_BYTES = 32;

/** Bytes that all pictures of one submission may have, counted down as they come. */
export class Allowance {
  constructor(
    readonly bytes: number,
    private left = bytes,
  ) {}

  take(bytes: number): boolean {
    this.left -= bytes;
    return this.left >= 0;
  }
}

export interface BodyBounds {
  readonly maxBytes: number;
  readonly maxPixels: number;
  readonly allowance: Allowance;
}

/** A picture as it comes in, looked at early: what is none, or too large, is not read to its end. */
export class PictureBody {
  private readonly chunks: Uint8Array[] = [];
  private length = 0;
  private lookAt = FIRST_LOOK_BYTES;

  constructor(private readonly bounds: BodyBounds) {}

  /** Takes in what came next; a refusal when no more of it should. */
  add(chunk: Uint8Array): PictureRefusal | null {
    const { maxBytes, allowance } = this.bounds;
    this.length += chunk.length;
    if (this.length > maxBytes) return tooManyBytes(maxBytes, 'inputs.max_bytes');
    if (!allowance.take(chunk.length)) return tooManyBytes(allowance.bytes, 'inputs.max_total_bytes');
    this.chunks.push(chunk);
    if (this.length < this.lookAt) return null;
    // Each look is at twice as much as the one before: all of them together cost what one at the end does.
    this.lookAt = this.length * 2;
    return this.look(false);
  }

  /** The whole file, or what is wrong with it. */
  finish(): { readonly bytes: Uint8Array } | { readonly refusal: PictureRefusal } {
    const refusal = this.look(true);
    return refusal === null ? { bytes: Buffer.concat(this.chunks) } : { refusal };
  }

  private look(isWhole: boolean): PictureRefusal | null {
    const bytes = Buffer.concat(this.chunks);
    const header = readImageHeader(bytes);
    const { maxPixels } = this.bounds;
    if (header === null) {
      const mayBeJpeg = bytes[0] === 0xff && bytes[1] === 0xd8;
      return isWhole || !mayBeJpeg ? NO_PICTURE : null;
    }
    if (header.width * header.height <= maxPixels) return null;
    const message = `must have at most ${maxPixels} pixels, not ${header.width} × ${header.height}`;
    return { kind: 'too_large', message, limit: { max_pixels: maxPixels } };
  }
}

const NO_PICTURE: PictureRefusal = {
  kind: 'no_picture',
  message: 'must lead to a PNG, a JPEG or a WebP picture',
  limit: { media_types: IMAGE_MEDIA_TYPES },
};
