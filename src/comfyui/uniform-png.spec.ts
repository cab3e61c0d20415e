import { PICTURES, pngOf } from '../../test/support/pictures.js';
import { isUniformPng } from './uniform-png.js';

describe('whether a PNG is of one colour', () => {
  it('is told by all of its pixels', async () => {
    expect(await isUniformPng(pngOf(7, 5, () => [9, 8, 7]))).toBe(true);
    expect(await isUniformPng(pngOf(7, 5, (x, y) => [9, 8, x === 6 && y === 4 ? 6 : 7]))).toBe(false);
    expect(await isUniformPng(pngOf(7, 5, (x) => [x, 8, 7]))).toBe(false);
  });

  it('is told of one that another program wrote, with filters of its own', async () => {
    // Pillow's picture is red all over.
    expect(await isUniformPng(Buffer.from(PICTURES['a PNG'], 'base64'))).toBe(true);
  });

  it('is not told of what is damaged or no PNG', async () => {
    const png = pngOf(7, 5, () => [9, 8, 7]);
    expect(await isUniformPng(png.subarray(0, -3))).toBeNull();
    expect(await isUniformPng(Buffer.from('a text that is long enough to be read'))).toBeNull();
  });
});
