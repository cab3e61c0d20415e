import { crc32, deflateSync } from 'node:zlib';

import { pngHeader, pngOf } from '../../../../test/support/pictures.js';
import { readPng } from '../../../../test/support/png.js';
import { pngTexts, withPngText } from './png-text.js';

const PNG = pngOf(8, 8, (x, y) => [x, y, 0]);

function chunk(name: string, body: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(name, 'latin1'), body]);
  const framed = Buffer.alloc(named.length + 8);
  framed.writeUInt32BE(body.length, 0);
  framed.set(named, 4);
  framed.writeUInt32BE(crc32(named), named.length + 4);
  return framed;
}
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
