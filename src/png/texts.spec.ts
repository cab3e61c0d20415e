import { crc32, deflateSync } from 'node:zlib';

import { pngHeader, pngOf } from '../../test/support/pictures.js';
import { readPng } from '../../test/support/png.js';
import { pngChunk as chunk } from './chunks.js';
import { pngTexts, replacePngTexts, withPngText } from './texts.js';

const PNG = pngOf(8, 8, (x, y) => [x, y, 0]);

const behindHeader = (...chunks: Buffer[]) => Buffer.concat([PNG.subarray(0, 33), ...chunks, PNG.subarray(33)]);

describe('texts of a PNG', () => {
  it.each([
    ['tEXt', 'Stéps: 20\nSeed: 7'],
    ['iTXt', 'ein Kreis: 赤 🔴'],
  ])('are written as %s where that can hold them, and leave the pixels alone', (name, text) => {
    const told = withPngText(PNG, 'parameters', text);
    expect(told.toString('latin1', 37, 41)).toBe(name);
    expect(told.readUInt32BE(33 + 8 + told.readUInt32BE(33))).toBe(
      crc32(told.subarray(37, 41 + told.readUInt32BE(33))),
    );
    expect(pngTexts(told).get('parameters')).toBe(text);
    expect(readPng(told).pixels).toEqual(readPng(PNG).pixels);
  });

  it('are read beside others, also compressed ones', () => {
    const zipped = Buffer.concat([Buffer.from('a\0\0'), deflateSync('one')]);
    const international = Buffer.concat([Buffer.from('b\0\x01\0de\0bé\0'), deflateSync('zwei')]);
    const png = behindHeader(chunk('zTXt', zipped), chunk('iTXt', international));
    expect([...pngTexts(withPngText(png, 'parameters', 'x'))]).toEqual([
      ['parameters', 'x'],
      ['a', 'one'],
      ['b', 'zwei'],
    ]);
  });

  it('are passed over where they are damaged, too long, or no PNG at all', () => {
    const bomb = Buffer.concat([Buffer.from('bomb\0\0'), deflateSync(Buffer.alloc(64 * 1024 * 1024))]);
    const png = behindHeader(
      chunk('zTXt', bomb),
      chunk('tEXt', Buffer.from('no end')),
      chunk('iTXt', Buffer.from('a\0\0')),
    );
    expect(pngTexts(png).size).toBe(0);
    expect(pngTexts(pngHeader(8, 8)).size).toBe(0);
    expect(pngTexts(Buffer.from('not a picture at all')).size).toBe(0);
    const cut = withPngText(PNG, 'parameters', 'x'.repeat(100)).subarray(0, 60);
    expect(pngTexts(cut).size).toBe(0);
  });
});

describe('texts of a PNG that means no good', () => {
  const text = (keyword: string, told: string) => chunk('tEXt', Buffer.from(`${keyword}\0${told}`));
  const zipped = (keyword: string, bytes: number) =>
    chunk('zTXt', Buffer.concat([Buffer.from(`${keyword}\0\0`), deflateSync(Buffer.alloc(bytes, 'x'))]));

  it('are looked at up to a number, also where none of them is kept', () => {
    const again = Array.from({ length: 99 }, () => text('a', 'one'));
    expect([...pngTexts(behindHeader(...again, text('b', 'two'))).keys()]).toEqual(['a', 'b']);
    expect([...pngTexts(behindHeader(...again, text('a', 'one'), text('b', 'two'))).keys()]).toEqual(['a']);
  });

  it('are unpacked up to a size of all together', () => {
    const mebibyte = 1024 * 1024;
    const texts = pngTexts(behindHeader(...Array.from({ length: 50 }, (_, index) => zipped(`${index}`, mebibyte))));
    expect([...texts.values()].reduce((sum, { length }) => sum + length, 0)).toBe(4 * mebibyte);
  });
});

describe('texts of a PNG that are replaced', () => {
  it('are ours in place of its own, and its pixels as they were', () => {
    const png = pngOf(3, 3, () => [1, 2, 3]);
    const once = replacePngTexts(png, { prompt: 'ä lake', job: '1' });
    const twice = replacePngTexts(once!, { prompt: 'other' });
    expect(once?.includes('ä lake')).toBe(true);
    expect(twice?.includes('ä lake')).toBe(false);
    expect(replacePngTexts(twice!, {})).toEqual(png);
  });

  it('are not written into what is damaged', () => {
    const png = pngOf(3, 3, () => [1, 2, 3]);
    expect(replacePngTexts(png.subarray(0, -1), {})).toBeNull();
    expect(replacePngTexts(Buffer.from('none'), {})).toBeNull();
    const wrong = Buffer.from(png);
    wrong[50]! ^= 1;
    expect(replacePngTexts(wrong, {})).toBeNull();
  });
});
