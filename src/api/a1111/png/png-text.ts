import { crc32, inflateSync } from 'node:zlib';

const SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex');

/** Length and name before the bytes of a chunk, and its checksum behind them. */
const HEAD_BYTES = 8;
const CHUNK_BYTES = 12;

/** Longest text that is unpacked: no prompt is a hundredth of it, and a bomb stops here. */
const MAX_TEXT_BYTES = 1024 * 1024;

/** Texts that are read of one picture. */
const MAX_TEXTS = 100;

/**
 * The same picture with one more text (https://www.w3.org/TR/png-3/#11textinfo), before its pixels, where readers that stop
 * there still see it. As Pillow does it: Latin-1 where that can hold the text, else UTF-8.
 *
 * @param png whole file as our workers write it
 */
export function withPngText(png: Buffer, keyword: string, text: string): Buffer {
  const afterHeader = SIGNATURE.length + CHUNK_BYTES + png.readUInt32BE(SIGNATURE.length);
  const isLatin = /^[\t\n\r -~\u00a0-\u00ff]*$/.test(text);
  const key = Buffer.from(`${keyword}\0`, 'latin1');
  const chunk = isLatin
    ? chunkOf('tEXt', Buffer.concat([key, Buffer.from(text, 'latin1')]))
    : // Not compressed, and no word on its language.
      chunkOf('iTXt', Buffer.concat([key, Buffer.alloc(4), Buffer.from(text)]));
  return Buffer.concat([png.subarray(0, afterHeader), chunk, png.subarray(afterHeader)]);
}

/** Texts of a PNG by keyword, the first of each; none of what is no PNG. Chunks that are damaged are passed over. */
export function pngTexts(bytes: Uint8Array): ReadonlyMap<string, string> {
  const png = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const texts = new Map<string, string>();
  if (!png.subarray(0, SIGNATURE.length).equals(SIGNATURE)) return texts;
  for (let at = SIGNATURE.length; at + CHUNK_BYTES <= png.length && texts.size < MAX_TEXTS;) {
    const length = png.readUInt32BE(at);
    if (at + CHUNK_BYTES + length > png.length) break;
    const body = png.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length);
    const found = textOf(png.toString('latin1', at + 4, at + HEAD_BYTES), body);
    if (found !== null && !texts.has(found.keyword)) texts.set(found.keyword, found.text);
    at += CHUNK_BYTES + length;
  }
  return texts;
}

function textOf(name: string, body: Buffer): { keyword: string; text: string } | null {
  const end = body.indexOf(0);
  if (end === -1) return null;
  const keyword = body.toString('latin1', 0, end);
  const rest = body.subarray(end + 1);
  switch (name) {
    case 'tEXt':
      return { keyword, text: rest.toString('latin1') };
    case 'zTXt': {
      const text = inflated(rest.subarray(1))?.toString('latin1');
      return text === undefined ? null : { keyword, text };
    }
    case 'iTXt': {
      // Whether and how it is compressed, language, translated keyword.
      const language = rest.indexOf(0, 2);
      const translated = language === -1 ? -1 : rest.indexOf(0, language + 1);
      if (translated === -1) return null;
      const packed = rest.subarray(translated + 1);
      const text = rest[0] === 1 ? inflated(packed) : packed;
      return text === null ? null : { keyword, text: text.toString() };
    }
    default:
      return null;
  }
}

function inflated(packed: Buffer): Buffer | null {
  try {
    return inflateSync(packed, { maxOutputLength: MAX_TEXT_BYTES });
  } catch {
    return null;
  }
}

function chunkOf(name: string, body: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(name, 'latin1'), body]);
  const chunk = Buffer.alloc(named.length + HEAD_BYTES);
  chunk.writeUInt32BE(body.length, 0);
  chunk.set(named, 4);
  chunk.writeUInt32BE(crc32(named), named.length + 4);
  return chunk;
}
