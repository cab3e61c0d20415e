/** Picture formats a request may bring, by media type; the value is the extension of their files. */
export const IMAGE_EXTENSIONS = { 'image/png': 'png', 'image/jpeg': 'jpg', 'image/webp': 'webp' } as const;
export type ImageMediaType = keyof typeof IMAGE_EXTENSIONS;
export const IMAGE_MEDIA_TYPES = Object.keys(IMAGE_EXTENSIONS) as readonly ImageMediaType[];

/** What the first bytes of a picture tell. */
export interface ImageHeader {
  readonly media_type: ImageMediaType;
  /** Pixels, before any rotation the file asks for. */
  readonly width: number;
  /** Pixels. */
  readonly height: number;
}

/** Kind and size of a picture, from its header alone; null when it is no PNG, JPEG or WebP, or its header is not whole. */
export function readImageHeader(bytes: Uint8Array): ImageHeader | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = readPng(view) ?? readJpeg(view) ?? readWebp(view);
  return header === null || header.width < 1 || header.height < 1 ? null : header;
}

/** Signature, then the chunk IHDR: length, name, width, height (https://www.w3.org/TR/png-3/#11IHDR). */
function readPng(view: DataView): ImageHeader | null {
  if (view.byteLength < 24 || view.getUint32(0) !== 0x89504e47 || view.getUint32(4) !== 0x0d0a1a0a) return null;
  if (ascii(view, 12, 4) !== 'IHDR') return null;
  return { media_type: 'image/png', width: view.getUint32(16), height: view.getUint32(20) };
}

/** Segments up to the first start of frame, which holds the size (ITU-T T.81, B.2.2). */
function readJpeg(view: DataView): ImageHeader | null {
  if (view.byteLength < 4 || view.getUint16(0) !== 0xffd8) return null;
  for (let at = 2; at + 9 <= view.byteLength;) {
    if (view.getUint8(at) !== 0xff) return null;
    const marker = view.getUint8(at + 1);
    // A marker may be preceded by any number of fill bytes.
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    if (isStartOfFrame(marker)) {
      return { media_type: 'image/jpeg', height: view.getUint16(at + 5), width: view.getUint16(at + 7) };
    }
    at += 2 + view.getUint16(at + 2);
  }
  return null;
}

/** C4, C8 and CC lie among them and mean tables. */
function isStartOfFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

/** RIFF with one of three first chunks: lossy, lossless, extended (RFC 9649, section 2). */
function readWebp(view: DataView): ImageHeader | null {
  if (view.byteLength < 25 || ascii(view, 0, 4) !== 'RIFF' || ascii(view, 8, 4) !== 'WEBP') return null;
  const media_type = 'image/webp';
  const chunk = ascii(view, 12, 4);
  // A lossless picture of one pixel has no more bytes than this.
  if (chunk !== 'VP8L' && view.byteLength < 30) return null;
  switch (chunk) {
    case 'VP8 ':
      return { media_type, width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
    case 'VP8L': {
      const bits = view.getUint32(21, true);
      return { media_type, width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
    }
    case 'VP8X':
      return { media_type, width: uint24(view, 24) + 1, height: uint24(view, 27) + 1 };
    default:
      return null;
  }
}

function uint24(view: DataView, at: number): number {
  return view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
}

function ascii(view: DataView, at: number, length: number): string {
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, length));
}
