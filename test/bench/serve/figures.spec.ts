import type { Exchange } from './exchange.js';
import { figuresOf } from './figures.js';
import type { Sample } from './load.js';
import { mostOpen } from './load.js';
import { parseMix } from './mix.js';
import { judgePictures } from './pictures.js';

const [one, two] = parseMix('64x64@20,2*32x32@8') as [ReturnType<typeof parseMix>[0], ReturnType<typeof parseMix>[0]];
const exchange: Exchange = { outcome: 'succeeded', reason: null, queueMs: 5, pictures: () => Promise.resolve([]) };

function sample(dueMs: number, sentMs: number, endedMs: number, change: Partial<Exchange> = {}, entry = one): Sample {
  const drawing = { ...entry, prompt: 'a circle', seed: 1 };
  return {
    request: { dueMs, entry, drawing, key: entry.name },
    isHeldBack: false,
    sentMs,
    endedMs,
    exchange: { ...exchange, ...change },
  };
}

describe('figures of a load', () => {
  it('count times from when a request was due, and tell those from when it was sent', () => {
    const { endToEnd, sinceSent } = figuresOf([sample(0, 0, 100), sample(0, 100, 200)]);
    expect(endToEnd).toEqual({ p50: 200, p95: 200, p99: 200 });
    expect(sinceSent).toEqual({ p50: 100, p95: 100, p99: 100 });
  });

  it('count refusals apart from failures, and neither among times or pace', () => {
    const figures = figuresOf([
      sample(0, 0, 1000),
      sample(0, 0, 3, { outcome: 'refused', reason: 'queue_full' }),
      sample(0, 0, 2000, { outcome: 'failed', reason: 'internal' }),
      sample(0, 0, 2000, { outcome: 'failed', reason: 'internal' }),
    ]);
    expect(figures).toMatchObject({
      requests: 4,
      succeeded: 1,
      refused: { queue_full: 1 },
      failed: { internal: 2 },
      seconds: 2,
      requestsPerSecond: 0.5,
      endToEnd: { p50: 1000 },
    });
  });

  it('count pictures apart from requests, and each entry for itself', () => {
    const figures = figuresOf([sample(0, 0, 500), sample(0, 0, 1000, {}, two)]);
    expect(figures).toMatchObject({ requestsPerSecond: 2, imagesPerSecond: 3 });
    expect(figures.entries.map(({ name, endToEnd }) => [name, endToEnd.p50])).toEqual([
      ['64x64@20', 500],
      ['2*32x32@8', 1000],
    ]);
  });

  it('have no queue time where the dialect tells none', () => {
    expect(figuresOf([sample(0, 0, 1)]).queue?.p50).toBe(5);
    expect(figuresOf([sample(0, 0, 1, { queueMs: null })]).queue).toBeNull();
  });

  it('know how many were open at a time', () => {
    expect(mostOpen([sample(0, 0, 10), sample(0, 5, 20), sample(0, 10, 30)])).toBe(2);
    expect(mostOpen([])).toBe(0);
  });
});

describe('pictures against those made alone', () => {
  it('may be a level off unless they are exact', () => {
    const compared = [
      { images: 2, exact: false, off: 1 },
      { images: 1, exact: true, off: 0 },
    ];
    expect(judgePictures(compared)).toEqual({ compared: 3, wrong: 0, exact: 1, largestDifference: 1 });
  });

  it('are wrong beyond that', () => {
    const compared = [
      { images: 2, exact: false, off: 2 },
      { images: 1, exact: true, off: 1 },
      { images: 1, exact: false, off: Infinity },
    ];
    expect(judgePictures(compared)).toMatchObject({ wrong: 4, largestDifference: Infinity });
  });
});
