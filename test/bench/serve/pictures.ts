import type { Picture } from '../faults/pictures.js';
import { largestDifference, pictureOf } from '../faults/pictures.js';
import type { DialectClient } from './exchange.js';
import type { Sample } from './load.js';
import type { Drawing, PlannedRequest } from './plan.js';

/** Most levels of 255 by which a value may differ from the picture made alone; `exact` pictures may not differ at all. */
export const TOLERANCE = 1;

/** Drawings at a time whose pictures are fetched for comparison. */
const FETCHED_AT_ONCE = 8;

/** Pictures of each drawing, by its key, drawn one at a time by a server that does nothing else. */
export type References = ReadonlyMap<string, readonly Picture[]>;

/** How the pictures of a load compare with those made alone. */
export interface PictureVerdict {
  readonly compared: number;
  /** Off by more than they may be, or of another number or size than was asked for. */
  readonly wrong: number;
  readonly exact: number;
  /** Of those that are not exact: most levels off. */
  readonly largestDifference: number;
}

/** Throws when one is not drawn: there is nothing to compare with. */
export async function drawReferences(
  client: DialectClient,
  drawings: ReadonlyMap<string, Drawing>,
  tell: (line: string) => void,
): Promise<References> {
  const references = new Map<string, readonly Picture[]>();
  for (const [key, drawing] of drawings) {
    tell(`drawing every request alone: ${references.size} of ${drawings.size}`);
    const exchange = await client.draw(drawing, null);
    if (exchange.outcome !== 'succeeded')
      throw new Error(`a picture to compare with was not drawn: ${exchange.reason ?? exchange.outcome}`);
    references.set(key, (await exchange.pictures()).map(pictureOf));
  }
  return references;
}

/** Fetches the pictures of all successes and compares them. */
export async function comparePictures(samples: readonly Sample[], references: References): Promise<PictureVerdict> {
  const succeeded = samples.filter(({ exchange }) => exchange.outcome === 'succeeded');
  const compared: { readonly request: PlannedRequest; readonly off: number }[] = [];
  for (let at = 0; at < succeeded.length; at += FETCHED_AT_ONCE) {
    const some = succeeded.slice(at, at + FETCHED_AT_ONCE).map(async ({ request, exchange }) => {
      // One of a success that is not to be had is not right either.
      const files = await exchange.pictures().catch(() => []);
      return { request, off: levelsOff(files.map(pictureOf), references.get(request.key)!) };
    });
    compared.push(...(await Promise.all(some)));
  }
  return judgePictures(compared.map(({ request, off }) => ({ ...request.drawing, off })));
}

export function judgePictures(
  compared: readonly { readonly images: number; readonly exact: boolean; readonly off: number }[],
): PictureVerdict {
  const imagesOf = (some: typeof compared) => some.reduce((sum, { images }) => sum + images, 0);
  return {
    compared: imagesOf(compared),
    wrong: imagesOf(compared.filter(({ exact, off }) => off > (exact ? 0 : TOLERANCE))),
    exact: imagesOf(compared.filter(({ exact }) => exact)),
    largestDifference: Math.max(0, ...compared.filter(({ exact }) => !exact).map(({ off }) => off)),
  };
}

/** Infinity when their number or size differs. */
function levelsOff(pictures: readonly Picture[], expected: readonly Picture[]): number {
  if (pictures.length !== expected.length) return Infinity;
  return Math.max(...pictures.map((picture, index) => largestDifference(picture, expected[index]!)));
}
