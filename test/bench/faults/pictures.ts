import { createHash } from 'node:crypto';

import { readPng } from '../../support/png.js';

/**
 * Most levels of 255 by which a value of a picture made in company may differ from the one made alone. What was seen is in
 * the report; `exact` pictures may not differ at all.
 */
export const TOLERANCE = 2;

export interface Picture {
  /** Of the pixels, not of the file: its text chunks name the job. */
  readonly sha256: string;
  readonly pixels: Buffer;
}

export function pictureOf(png: Buffer): Picture {
  const { pixels } = readPng(png);
  return { sha256: createHash('sha256').update(pixels).digest('hex'), pixels };
}

/** The largest difference of two values; Infinity when they are not of one size. */
export function largestDifference(one: Picture, other: Picture): number {
  if (one.sha256 === other.sha256) return 0;
  if (one.pixels.length !== other.pixels.length) return Infinity;
  return one.pixels.reduce((largest, value, at) => Math.max(largest, Math.abs(value - other.pixels[at]!)), 0);
}
