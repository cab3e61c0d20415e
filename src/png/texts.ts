import { inflateSync } from 'node:zlib';

import { PNG_SIGNATURE, pngChunk, pngChunks, wholePng } from './chunks.js';

/** https://www.w3.org/TR/png-3/#11textinfo */
const TEXT_CHUNKS = ['tEXt', 'zTXt', 'iTXt'];

/** Longest text that is unpacked: no prompt is a hundredth of it, and a bomb stops here. */
const MAX_TEXT_BYTES = 1024 * 1024;

/** Texts of one picture that are looked at, and their size all together; every one of them might be such a bomb. */
const MAX_TEXTS = 100;
const MAX_ALL_CHARS = 4 * MAX_TEXT_BYTES;

/** Texts of a PNG by keyword, the first of each; none of what is no PNG. Texts that are damaged are passed over. */
export function pngTexts(bytes: Uint8Array): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  let looked = 0;
  let chars = 0;
  for (const { name, body } of pngChunks(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))) {
    if (!TEXT_CHUNKS.includes(name)) continue;
    if (looked >= MAX_TEXTS || chars >= MAX_ALL_CHARS) break;
    looked += 1;
    const found = textOf(name, body);
    chars += found?.text.length ?? 0;
    if (found !== null && !texts.has(found.keyword)) texts.set(found.keyword, found.text);
  }
  return texts;
}

/**
 * The same picture with one more text, before its pixels, where readers that stop there still see it. Latin-1 where that can
 * hold the text, else UTF-8, as Pillow and with it AUTOMATIC1111 write it. What is no PNG stays as it is.
 */
export function withPngText(png: Buffer, keyword: string, text: string): Buffer {
  const [header] = pngChunks(png);
  if (header === undefined) return png;
  const afterHeader = PNG_SIGNATURE.length + header.bytes.length;
  const isLatin = /^[\t\n\r -~\u00a0-\u00ff]*$/.test(text);
  const chunk = isLatin ? pngChunk('tEXt', Buffer.from(`${keyword}\0${text}`, 'latin1')) : utf8Chunk(keyword, text);
  return Buffer.concat([png.subarray(0, afterHeader), chunk, png.subarray(afterHeader)]);
}

/** The same picture with these texts in place of its own, in UTF-8. Null: it is damaged, or no PNG. */
export function replacePngTexts(png: Buffer, texts: Readonly<Record<string, string>>): Buffer | null {
  const [header, ...rest] = wholePng(png) ?? [];
  if (header === undefined) return null;
  const kept = rest.filter(({ name }) => !TEXT_CHUNKS.includes(name)).map(({ bytes }) => bytes);
  const ours = Object.entries(texts).map(([keyword, text]) => utf8Chunk(keyword, text));
  return Buffer.concat([PNG_SIGNATURE, header.bytes, ...ours, ...kept]);
}

/** Not compressed, and no word on its language. */
function utf8Chunk(keyword: string, text: string): Buffer {
  return pngChunk('iTXt', Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`, 'latin1'), Buffer.from(text)]));
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
