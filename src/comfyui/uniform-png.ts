import { promisify } from 'node:util';
import { inflate } from 'node:zlib';

import { wholePng } from '../png/chunks.js';

const inflated = promisify(inflate);

/** Samples of a pixel by colour type, of those that ComfyUI writes: grey, RGB, RGBA. */
const SAMPLES: Readonly<Record<number, number>> = { 0: 1, 2: 3, 6: 4 };

/**
 * Whether all pixels of a PNG are the same: what becomes of numbers that are none. Null: its pixels cannot be read, or are of
 * a kind that ComfyUI does not write. Ends at the first pixel that differs, in the first rows of every real picture.
 */
export async function isUniformPng(png: Buffer): Promise<boolean | null> {
  const chunks = wholePng(png);
  const header = chunks?.[0]?.body;
  if (chunks === null || header === undefined) return null;
  const [depth, colour, interlace] = [header[8], header[9] ?? -1, header[12]];
  const samples = SAMPLES[colour];
  if (depth !== 8 || interlace !== 0 || samples === undefined) return null;
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const stride = width * samples;
  const data = chunks.filter(({ name }) => name === 'IDAT').map(({ body }) => body);
  // A row has its filter in front. One byte more tells a file that would unpack to more than it says.
  const size = (stride + 1) * height;
  const raw = await inflated(Buffer.concat(data), { maxOutputLength: size + 1 }).catch(() => null);
  return raw === null || raw.length !== size ? null : isUniform(raw, stride, samples);
}

/** Undoes the filters (https://www.w3.org/TR/png-3/#9Filters) row by row. */
function isUniform(raw: Buffer, stride: number, samples: number): boolean {
  let above = Buffer.alloc(stride);
  let first: Buffer | null = null;
  for (let at = 0; at < raw.length; at += stride + 1) {
    const row = Buffer.from(raw.subarray(at + 1, at + 1 + stride));
    for (let i = 0; i < stride; i += 1) {
      const left = i < samples ? 0 : row[i - samples]!;
      const corner = i < samples ? 0 : above[i - samples]!;
      row[i] = row[i]! + predicted(raw[at]!, left, above[i]!, corner);
    }
    first ??= row.subarray(0, samples);
    for (let i = 0; i < stride; i += 1) if (row[i] !== first[i % samples]) return false;
    above = row;
  }
  return true;
}

function predicted(filter: number, left: number, up: number, corner: number): number {
  switch (filter) {
    case 1:
      return left;
    case 2:
      return up;
    case 3:
      return (left + up) >> 1;
    case 4: {
      const estimate = left + up - corner;
      const [toLeft, toUp, toCorner] = [left, up, corner].map((value) => Math.abs(estimate - value)) as [
        number,
        number,
        number,
      ];
      if (toLeft <= toUp && toLeft <= toCorner) return left;
      return toUp <= toCorner ? up : corner;
    }
    default:
      return 0;
  }
}
