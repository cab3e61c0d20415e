import { leastBytesExpectedBack, MemoryReturn, unreturnedMessage } from './memory-return.js';

const GIB = 2 ** 30;
const WEIGHTS: Readonly<Record<string, number>> = { large: 4 * GIB, small: 2 * GIB, tiny: 2 ** 20 };

/** What comes of looks a second apart: the models there, GiB allocated, whether something runs. */
function seen(
  looks: readonly (readonly [models: string, gib: number, busy?: 'busy'])[],
  kind: 'cuda' | 'cpu' = 'cuda',
) {
  const memory = new MemoryReturn({
    device: { id: `${kind}:0`, kind, name: 'a device' },
    weightsOf: (model) => WEIGHTS[model] ?? null,
    leastBytes: GIB / 4,
    returnMs: 3000,
  });
  return looks.map(([models, gib, busy], index) =>
    memory.see({
      at: index * 1000,
      models: models === '' ? [] : models.split(' '),
      allocatedBytes: gib * GIB,
      isIdle: busy === undefined,
    }),
  );
}

const last = (looks: Parameters<typeof seen>[0]) => seen(looks).at(-1);

describe('MemoryReturn', () => {
  it('finds what did not come back, once, with before and after', () => {
    const found = seen([
      ['large', 4.1],
      ['', 4.1],
      ['', 4],
      ['', 4],
      ['', 4],
      ['', 4],
      ['', 4],
    ]);
    expect(found.slice(0, 4)).toEqual([null, null, null, null]);
    expect(found[4]).toEqual({
      models: ['large'],
      weightsBytes: 4 * GIB,
      beforeBytes: 4.1 * GIB,
      afterBytes: 4 * GIB,
    });
    expect(found.slice(5)).toEqual([null, null]);
    expect(unreturnedMessage(found[4]!)).toBe(
      'memory did not come back: 4198 MiB before large (4096 MiB) left, 4096 MiB after',
    );
  });

  it.each<[string, Parameters<typeof seen>[0]]>([
    [
      'it came back',
      [
        ['large', 4.1],
        ['', 0.1],
        ['', 0.1],
        ['', 0.1],
        ['', 0.1],
      ],
    ],
    [
      'more than half came back',
      [
        ['large', 4],
        ['', 1.9],
        ['', 1.9],
        ['', 1.9],
        ['', 1.9],
      ],
    ],
    [
      'it came back late',
      [
        ['large', 4],
        ['', 4],
        ['', 4],
        ['', 1],
        ['', 1],
        ['', 1],
      ],
    ],
    [
      'another came in its place',
      [
        ['large', 4],
        ['small', 2],
        ['small', 2],
        ['small', 2],
        ['small', 2],
      ],
    ],
    [
      'a larger one came in its place',
      [
        ['small', 2],
        ['large', 4],
        ['large', 4],
        ['large', 4],
        ['large', 4],
      ],
    ],
    [
      'it lay on the device in part only',
      [
        ['large', 0.5],
        ['', 0.3],
        ['', 0.3],
        ['', 0.3],
        ['', 0.3],
      ],
    ],
    [
      'something runs',
      [
        ['large', 4],
        ['', 4, 'busy'],
        ['', 4, 'busy'],
        ['', 4, 'busy'],
        ['', 4, 'busy'],
      ],
    ],
    [
      'it was small',
      [
        ['tiny', 4],
        ['', 4],
        ['', 4],
        ['', 4],
        ['', 4],
      ],
    ],
    [
      'nobody knows what it took',
      [
        ['strange', 4],
        ['', 4],
        ['', 4],
        ['', 4],
        ['', 4],
      ],
    ],
    [
      'nothing left',
      [
        ['large', 4],
        ['large', 4],
        ['large', 9],
        ['large', 9],
        ['large', 9],
      ],
    ],
  ])('finds nothing when %s', (_, looks) => {
    expect(seen(looks).filter((each) => each !== null)).toEqual([]);
  });

  it('takes what was allocated while nothing ran', () => {
    expect(
      last([
        ['large', 4],
        ['large', 9, 'busy'],
        ['', 4],
        ['', 4],
        ['', 4],
        ['', 4],
      ]),
    ).toMatchObject({
      beforeBytes: 4 * GIB,
    });
  });

  it('counts models that left one after the other together', () => {
    expect(
      last([
        ['large small', 6],
        ['small', 6],
        ['', 6],
        ['', 6],
        ['', 6],
        ['', 6],
      ]),
    ).toMatchObject({
      models: ['large', 'small'],
      weightsBytes: 6 * GIB,
    });
  });

  it('finds a leak beside the model that came in its place', () => {
    expect(
      last([
        ['large', 4],
        ['small', 6],
        ['small', 6],
        ['small', 6],
        ['small', 6],
      ]),
    ).toMatchObject({
      models: ['large'],
      afterBytes: 6 * GIB,
    });
  });
});

describe('on the CPU, where all of the process counts', () => {
  it('finds what is there beyond what was there without models', () => {
    expect(
      seen(
        [
          ['', 1],
          ['large', 5],
          ['', 5],
          ['', 5],
          ['', 5],
          ['', 5],
        ],
        'cpu',
      ).at(-1),
    ).toMatchObject({
      beforeBytes: 5 * GIB,
    });
  });

  it.each<[string, Parameters<typeof seen>[0]]>([
    [
      'the weights were never seen in it',
      [
        ['', 1],
        ['large', 1.5],
        ['', 1.5],
        ['', 1.5],
        ['', 1.5],
        ['', 1.5],
      ],
    ],
    [
      'it was never seen without models',
      [
        ['large', 5],
        ['', 5],
        ['', 5],
        ['', 5],
        ['', 5],
      ],
    ],
  ])('finds nothing when %s', (_, looks) => {
    expect(seen(looks, 'cpu').filter((each) => each !== null)).toEqual([]);
  });
});

it.each([
  [null, 'cuda', 2 ** 26],
  [null, 'cpu', null],
  [null, 'mps', null],
  [1000, 'cpu', 1000],
  [1000, 'cuda', 1000],
] as const)('with the setting %s memory is expected back on %s from %s bytes on', (setting, kind, least) => {
  expect(leastBytesExpectedBack(setting, { id: `${kind}:0`, kind, name: 'a device' })).toBe(least);
});
