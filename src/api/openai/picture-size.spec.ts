import { PICTURES, pngHeader } from '../../../test/support/pictures.js';
import { isTurned } from './exif-orientation.js';
import { sizeLike } from './picture-size.js';

const LIMITS = {
  min_width: 64,
  max_width: 1024,
  min_height: 64,
  max_height: 1024,
  size_multiple: 8,
  min_num_inference_steps: 1,
  max_num_inference_steps: 150,
  min_guidance_scale: 0,
  max_guidance_scale: 30,
  max_num_images: 16,
  max_prompt_chars: 10_000,
};
const MODEL = { limits: LIMITS, defaults: { width: 512, height: 512 } };

/** A JPEG of 600×400 with this orientation, as far as its header goes. `order`: of the bytes in its numbers. */
function jpeg(orientation: number, order: 'II' | 'MM', tag = 0x0112): Buffer {
  const tiff = Buffer.alloc(26);
  const little = order === 'II';
  const put16 = (value: number, at: number) => (little ? tiff.writeUInt16LE(value, at) : tiff.writeUInt16BE(value, at));
  const put32 = (value: number, at: number) => (little ? tiff.writeUInt32LE(value, at) : tiff.writeUInt32BE(value, at));
  tiff.write(order, 0, 'latin1');
  put16(42, 2);
  put32(8, 4);
  put16(1, 8);
  put16(tag, 10);
  put16(3, 12);
  put32(1, 14);
  put16(orientation, 18);
  const exif = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), tiff]);
  const segment = Buffer.alloc(4);
  segment.writeUInt16BE(0xffe1, 0);
  segment.writeUInt16BE(exif.length + 2, 2);
  const frame = Buffer.from('ffc00011080190025803011100021101031101', 'hex');
  return Buffer.concat([Buffer.from('ffd8', 'hex'), segment, exif, frame]);
}

describe('the size of an edit that leaves it open', () => {
  it.each([
    [512, 512, 512, 512],
    [100, 100, 512, 512],
    [4000, 3000, 592, 440],
    [768, 1024, 440, 592],
    [1920, 1080, 680, 384],
    [5000, 10, 1024, 64],
    [1, 3000, 64, 1024],
  ])('of a picture of %d×%d is %d×%d', (width, height, expectedWidth, expectedHeight) => {
    expect(sizeLike(pngHeader(width, height), MODEL)).toEqual({ width: expectedWidth, height: expectedHeight });
  });

  it('follows a photograph that is to be turned', () => {
    expect(sizeLike(jpeg(1, 'MM'), MODEL)).toEqual({ width: 624, height: 416 });
    expect(sizeLike(jpeg(6, 'MM'), MODEL)).toEqual({ width: 416, height: 624 });
  });

  it('is nobody’s business when it is no picture', () => {
    expect(sizeLike(Buffer.from('a text'), MODEL)).toBeNull();
  });
});

describe('a picture that is to be turned by a quarter', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('is told by its orientation %d, in both orders of bytes', (orientation) => {
    expect([isTurned(jpeg(orientation, 'II')), isTurned(jpeg(orientation, 'MM'))]).toEqual([
      orientation > 4,
      orientation > 4,
    ]);
  });

  it('is none that says nothing of it, or is cut off anywhere', () => {
    expect(isTurned(jpeg(6, 'II', 0x0110))).toBe(false);
    for (const picture of Object.values(PICTURES)) expect(isTurned(Buffer.from(picture, 'base64'))).toBe(false);
    const whole = jpeg(6, 'MM');
    for (let length = 0; length < 30; length += 1) expect(isTurned(whole.subarray(0, length))).toBe(false);
  });
});
