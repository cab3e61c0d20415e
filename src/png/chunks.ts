import { crc32 } from 'node:zlib';

export const PNG_SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex');

/** Length and name before the body of a chunk, and its checksum behind it. */
const HEAD_BYTES = 8;
const FRAME_BYTES = 12;

export interface PngChunk {
  readonly name: string;
  readonly body: Buffer;
  /** As it stands in the file, frame and all. */
  readonly bytes: Buffer;
}

/** Chunks of a PNG in order, as far as they lie in the file; their checksums are not looked at. Of what is no PNG, none. */
export function* pngChunks(png: Buffer): Generator<PngChunk> {
  if (!png.subarray(0, PNG_SIGNATURE.length).equals(PNG_SIGNATURE)) return;
  for (let at = PNG_SIGNATURE.length; at + FRAME_BYTES <= png.length;) {
    const end = at + FRAME_BYTES + png.readUInt32BE(at);
    if (end > png.length) return;
    const name = png.toString('latin1', at + 4, at + HEAD_BYTES);
    yield { name, body: png.subarray(at + HEAD_BYTES, end - 4), bytes: png.subarray(at, end) };
    if (name === 'IEND') return;
    at = end;
  }
}

/** All chunks of a PNG; null: it is cut off, a checksum is wrong, or it is none. */
export function wholePng(png: Buffer): readonly PngChunk[] | null {
  const chunks = [...pngChunks(png)];
  const isWhole = chunks[0]?.name === 'IHDR' && chunks.at(-1)?.name === 'IEND' && chunks.every(hasRightChecksum);
  return isWhole ? chunks : null;
}

/** A chunk in its frame. `name`: four letters. */
export function pngChunk(name: string, body: Buffer): Buffer {
  const bytes = Buffer.alloc(body.length + FRAME_BYTES);
  bytes.writeUInt32BE(body.length, 0);
  bytes.write(name, 4, 'latin1');
  body.copy(bytes, HEAD_BYTES);
  bytes.writeUInt32BE(checksumOf(bytes), bytes.length - 4);
  return bytes;
}

function hasRightChecksum({ bytes }: PngChunk): boolean {
  return checksumOf(bytes) === bytes.readUInt32BE(bytes.length - 4);
}

/** Of name and body. */
function checksumOf(chunk: Buffer): number {
  return crc32(chunk.subarray(4, -4));
}
