import { inflateSync } from 'node:zlib';

/** Pixels of an 8-bit RGB PNG without interlacing, as our workers write them: rows of R, G, B bytes. */
export function readPng(png: Buffer): { width: number; height: number; pixels: Buffer; text: Record<string, string> } {
  const data: Buffer[] = [];
  const text: Record<string, string> = {};
  let width = 0;
  let height = 0;
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    const body = png.subarray(at + 8, at + 8 + png.readUInt32BE(at));
    switch (png.toString('latin1', at + 4, at + 8)) {
      case 'IHDR':
        width = body.readUInt32BE(0);
        height = body.readUInt32BE(4);
        if (body[8] !== 8 || body[9] !== 2 || body[12] !== 0) throw new Error('not an 8-bit RGB picture');
        break;
      case 'IDAT':
        data.push(body);
        break;
      case 'iTXt': {
        const end = body.indexOf(0);
        // keyword, 0, compressed?, method, language, 0, translated keyword, 0, text
        text[body.toString('latin1', 0, end)] = body.toString('utf8', end + 5);
        break;
      }
      default:
    }
  }
  return { width, height, pixels: unfilter(inflateSync(Buffer.concat(data)), width, height), text };
}

/** Undoes the row filters of the PNG specification, section 9. */
function unfilter(raw: Buffer, width: number, height: number): Buffer {
  const stride = width * 3;
  const out = Buffer.alloc(stride * height);
  const at = (row: number, column: number) => (row < 0 || column < 0 ? 0 : out[row * stride + column]!);
  for (let row = 0; row < height; row += 1) {
    const filter = raw[row * (stride + 1)]!;
    for (let column = 0; column < stride; column += 1) {
      const left = at(row, column - 3);
      const up = at(row - 1, column);
      const corner = column < 3 ? 0 : at(row - 1, column - 3);
      const predicted = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter]!;
      out[row * stride + column] = raw[row * (stride + 1) + 1 + column]! + predicted;
    }
  }
  return out;
}

function paeth(left: number, up: number, corner: number): number {
  const estimate = left + up - corner;
  const [toLeft, toUp, toCorner] = [left, up, corner].map((value) => Math.abs(estimate - value)) as [
    number,
    number,
    number,
  ];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}
