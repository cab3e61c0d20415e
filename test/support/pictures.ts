import { crc32, deflateSync } from 'node:zlib';

/** Real pictures of 23×17 pixels, written by Pillow: what other programs make of the formats. */
export const PICTURES = {
  'a baseline JPEG':
    '/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAKBueIx4ZKCMgoy0qqC+8P//8Nzc8P//////////////////////////////////////////////////////////2wBDAaq0tPDS8P//////////////////////////////////////////////////////////////////////////////wAARCAARABcDASIAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAAAAAAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAECAxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLRChYkNOEl8RcYGRomJygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6/9oADAMBAAIRAxEAPwBtFFFI0CiiigAooooAKKKKAP/Z',
  'a progressive JPEG with Exif data':
    '/9j/4AAQSkZJRgABAQAAAQABAAD/4QASRXhpZgAATU0AKgAAAAgAAP/bAEMAoG54jHhkoIyCjLSqoL7w///w3Nzw///////////////////////////////////////////////////////////bAEMBqrS08NLw///////////////////////////////////////////////////////////////////////////////CABEIABEAFwMBIgACEQEDEQH/xAAVAAEBAAAAAAAAAAAAAAAAAAAAAf/EABYBAQEBAAAAAAAAAAAAAAAAAAABAv/aAAwDAQACEAMQAAABgmgAAP/EABQQAQAAAAAAAAAAAAAAAAAAADD/2gAIAQEAAQUCH//EABQRAQAAAAAAAAAAAAAAAAAAACD/2gAIAQMBAT8BH//EABQRAQAAAAAAAAAAAAAAAAAAACD/2gAIAQIBAT8BH//EABQQAQAAAAAAAAAAAAAAAAAAADD/2gAIAQEABj8CH//EABQQAQAAAAAAAAAAAAAAAAAAADD/2gAIAQEAAT8hH//aAAwDAQACAAMAAAAQCCCC/8QAFBEBAAAAAAAAAAAAAAAAAAAAIP/aAAgBAwEBPxAf/8QAFBEBAAAAAAAAAAAAAAAAAAAAIP/aAAgBAgEBPxAf/8QAFBABAAAAAAAAAAAAAAAAAAAAMP/aAAgBAQABPxAf/9k=',
  'a lossy WebP': 'UklGRj4AAABXRUJQVlA4IDIAAAAQAwCdASoXABEAP83i624/tzEqKAgD8DmJZQDI1BanFAAA/tDHjc/kdhDdabzITBwAAA==',
  'a lossless WebP': 'UklGRh4AAABXRUJQVlA4TBEAAAAvFgAEAAdQjyIXpf+BiOh/AAA=',
  'a WebP with transparency':
    'UklGRlwAAABXRUJQVlA4WAoAAAAQAAAAFgAAEAAAQUxQSA8AAAABB0AgaYu3/RERR0T0PwAAVlA4ICYAAADQAgCdASoXABEAP83i624/tzEqKAgD8DmJaQAAPaOgAP7pZBwAAA==',
  'a PNG':
    'iVBORw0KGgoAAAANSUhEUgAAABcAAAARCAIAAAC5EaDqAAAAHUlEQVR4nGM8IafBQDFgotyIUVNGTRk1ZdQUrAAAOY8BMOL1deQAAAAASUVORK5CYII=',
} as const;

type Rgb = readonly [number, number, number];
type Rgba = readonly [...Rgb, number];

/** An 8-bit RGB PNG; `colourAt` gives the colour of each pixel. */
export function pngOf(width: number, height: number, colourAt: (x: number, y: number) => Rgb): Buffer {
  return Buffer.concat([pngHeader(width, height), pixelsAndEnd(width, height, 3, colourAt)]);
}

/** An 8-bit PNG with transparency; `colourAt` gives the colour of each pixel and how opaque it is. */
export function rgbaPngOf(width: number, height: number, colourAt: (x: number, y: number) => Rgba): Buffer {
  return Buffer.concat([pngHeader(width, height, RGBA), pixelsAndEnd(width, height, 4, colourAt)]);
}

/** Colour types of the format. */
const RGB = 2;
const RGBA = 6;

/** The beginning of a PNG of any size: what tells a server how large the rest would be. */
export function pngHeader(width: number, height: number, colourType = RGB): Buffer {
  const ihdr = Buffer.alloc(13);
  ihdr.writeUInt32BE(width, 0);
  ihdr.writeUInt32BE(height, 4);
  ihdr.set([8, colourType, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), chunk('IHDR', ihdr)]);
}

function pixelsAndEnd(
  width: number,
  height: number,
  channels: number,
  colourAt: (x: number, y: number) => readonly number[],
): Buffer {
  const stride = 1 + width * channels;
  const rows = Buffer.alloc(height * stride);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) rows.set(colourAt(x, y), y * stride + 1 + x * channels);
  }
  return Buffer.concat([chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
}

function chunk(name: string, body: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(name, 'latin1'), body]);
  const framed = Buffer.alloc(named.length + 8);
  framed.writeUInt32BE(body.length, 0);
  framed.set(named, 4);
  framed.writeUInt32BE(crc32(named), named.length + 4);
  return framed;
}
