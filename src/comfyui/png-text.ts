import { crc32 } from 'node:zlib';

const SIGNATURE_BYTES = 8;
/** Length, name and checksum around the data of a chunk. */
const FRAME_BYTES = 12;
const TEXT_CHUNKS = ['tEXt', 'zTXt', 'iTXt'];

interface Chunk {
  readonly name: string;
  /** As it stands in the file, frame and all. */
  readonly bytes: Buffer;
}

/** Chunks of a PNG in order; null: it is cut off, a checksum is wrong, or it is none. */
export function pngChunks(png: Buffer): readonly Chunk[] | null {
  const chunks: Chunk[] = [];
  for (let at = SIGNATURE_BYTES; at + FRAME_BYTES <= png.length;) {
    const end = at + FRAME_BYTES + png.readUInt32BE(at);
    if (end > png.length) return null;
    const bytes = png.subarray(at, end);
    const name = bytes.toString('latin1', 4, 8);
    if (crc32(bytes.subarray(4, -4)) !== bytes.readUInt32BE(bytes.length - 4)) return null;
    chunks.push({ name, bytes });
    if (name === 'IEND') return chunks;
    at = end;
  }
  return null;
}

/** The same picture with these texts in place of its own: ComfyUI writes the whole graph into it. Null: as above. */
export function withTexts(png: Buffer, texts: Readonly<Record<string, string>>): Buffer | null {
  const [header, ...rest] = pngChunks(png) ?? [];
  if (header?.name !== 'IHDR') return null;
  const kept = rest.filter(({ name }) => !TEXT_CHUNKS.includes(name)).map(({ bytes }) => bytes);
  const ours = Object.entries(texts).map(([keyword, text]) => textChunk(keyword, text));
  return Buffer.concat([png.subarray(0, SIGNATURE_BYTES), header.bytes, ...ours, ...kept]);
}

/** https://www.w3.org/TR/png-3/#11iTXt: keyword, then no compression, language and translation, then the text. */
function textChunk(keyword: string, text: string): Buffer {
  const data = Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`, 'latin1'), Buffer.from(text, 'utf8')]);
  const chunk = Buffer.alloc(data.length + FRAME_BYTES);
  chunk.writeUInt32BE(data.length, 0);
  chunk.write('iTXt', 4, 'latin1');
  data.copy(chunk, 8);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, -4)), chunk.length - 4);
  return chunk;
}
