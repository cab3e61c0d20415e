import type { ImageHeader, ImageMediaType } from './image-header.js';
import { IMAGE_EXTENSIONS } from './image-header.js';

/** A picture of a request; its bytes lie in the artifact store under its hash. */
export interface ImageRef extends ImageHeader {
  /** Of the file, lower-case hex. */
  readonly sha256: string;
  /** Size of the file. */
  readonly bytes: number;
}

/** Name of the file: the same bytes have the same name. */
export function imageFileName({ sha256, media_type }: { sha256: string; media_type: ImageMediaType }): string {
  return `${sha256}.${IMAGE_EXTENSIONS[media_type]}`;
}
