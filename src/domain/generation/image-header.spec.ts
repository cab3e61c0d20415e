import { PICTURES, pngHeader } from '../../../test/support/pictures.js';
import { readImageHeader } from './image-header.js';

const KINDS = { JPEG: 'image/jpeg', WebP: 'image/webp', PNG: 'image/png' } as const;

describe('readImageHeader', () => {
  it.each(Object.entries(PICTURES))('reads kind and size of %s', (name, base64) => {
    const media_type = Object.entries(KINDS).find(([kind]) => name.includes(kind))?.[1];
    expect(readImageHeader(Buffer.from(base64, 'base64'))).toEqual({ media_type, width: 23, height: 17 });
  });

  it.each(Object.entries(PICTURES))('makes nothing of %s that ends in its header', (name, base64) => {
    const bytes = Buffer.from(base64, 'base64');
    const sizeAt = name.includes('JPEG') ? bytes.findIndex((_, at) => isFrame(bytes, at)) : 15;
    expect(sizeAt).toBeGreaterThan(0);
    for (let length = 0; length <= sizeAt; length += 1) expect(readImageHeader(bytes.subarray(0, length))).toBeNull();
  });

  it('reads bytes that lie somewhere inside of a larger buffer', () => {
    const bytes = Buffer.concat([Buffer.alloc(7), Buffer.from(PICTURES['a lossless WebP'], 'base64')]);
    expect(readImageHeader(bytes.subarray(7))).toMatchObject({ width: 23, height: 17 });
  });

  it('tells sizes no decoder should meet, so that they can be refused', () => {
    expect(readImageHeader(pngHeader(4_294_967_295, 60_000))).toMatchObject({ width: 4_294_967_295, height: 60_000 });
  });

  it.each([
    ['a GIF', Buffer.from('GIF89a\x17\0\x11\0\x80\0\0 and more of it, enough for any header')],
    ['a PNG without width', pngHeader(0, 17)],
    ['a JPEG of nothing but markers', Buffer.concat([Buffer.from('ffd8', 'hex'), Buffer.alloc(100, 0xff)])],
    ['a JPEG whose segments have no length', Buffer.concat([Buffer.from('ffd8ffe00000', 'hex'), Buffer.alloc(100)])],
    ['a WAV', Buffer.from('RIFF\0\0\0\0WAVEfmt and more of it, enough for any header')],
    ['nothing', Buffer.alloc(0)],
  ])('makes nothing of %s', (_, bytes) => {
    expect(readImageHeader(bytes)).toBeNull();
  });
});

/** Start of a baseline or progressive frame. */
function isFrame(bytes: Buffer, at: number): boolean {
  return bytes[at] === 0xff && (bytes[at + 1] === 0xc0 || bytes[at + 1] === 0xc2);
}
