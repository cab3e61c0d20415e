import { describe, expect, it } from '@jest/globals';

import { SharedReads } from './shared-reads.js';

/** A load that ends when it is told to, and counts itself. */
function loads() {
  const ends: PromiseWithResolvers<number>[] = [];
  const load = () => {
    const end = Promise.withResolvers<number>();
    ends.push(end);
    return end.promise;
  };
  return { ends, load };
}

describe('reads that many want', () => {
  it('are two for all who ask at once: who asked while one went on gets what was read afterwards', async () => {
    const { ends, load } = loads();
    const reads = new SharedReads<number>();
    const first = reads.read('a', load);
    const others = Array.from({ length: 100 }, () => reads.read('a', load));
    expect(ends).toHaveLength(1);
    ends[0]?.resolve(1);
    expect(await first).toBe(1);
    await Promise.resolve();
    expect(ends).toHaveLength(2);
    ends[1]?.resolve(2);
    expect(new Set(await Promise.all(others))).toEqual(new Set([2]));
  });

  it('begin anew once nobody waits', async () => {
    const { ends, load } = loads();
    const reads = new SharedReads<number>();
    for (const expected of [1, 2, 3]) {
      const read = reads.read('a', load);
      ends.at(-1)?.resolve(expected);
      expect(await read).toBe(expected);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(ends).toHaveLength(3);
  });

  it('of other things have nothing to do with each other', () => {
    const { ends, load } = loads();
    const reads = new SharedReads<number>();
    void reads.read('a', load);
    void reads.read('b', load);
    expect(ends).toHaveLength(2);
  });

  it('fail for those who share them, and for nobody after', async () => {
    const { ends, load } = loads();
    const reads = new SharedReads<number>();
    const first = reads.read('a', load);
    const second = reads.read('a', load);
    ends[0]?.reject(new Error('away'));
    await expect(first).rejects.toThrow('away');
    await Promise.resolve();
    ends[1]?.resolve(2);
    expect(await second).toBe(2);
  });
});
