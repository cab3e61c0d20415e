import { parseMix } from './mix.js';

describe('a mix of requests', () => {
  it('holds size, steps and weight of every entry', () => {
    expect(parseMix('64x64@20:3, 96x64@8')).toEqual([
      { name: '64x64@20', width: 64, height: 64, steps: 20, images: 1, exact: false, priority: null, weight: 3 },
      { name: '96x64@8', width: 96, height: 64, steps: 8, images: 1, exact: false, priority: null, weight: 1 },
    ]);
  });

  it('holds number of pictures, priority and exactness where they are named', () => {
    expect(parseMix('2*64x32@8/urgent+exact:0.5')).toEqual([
      {
        name: '2*64x32@8/urgent+exact',
        width: 64,
        height: 32,
        steps: 8,
        images: 2,
        exact: true,
        priority: 'urgent',
        weight: 0.5,
      },
    ]);
  });

  it.each([
    ['64x64', 'not of the form'],
    ['', 'not of the form'],
    ['64x64@20:3,', 'not of the form'],
    ['64x64@20/soon', 'no priority'],
    ['64x64@0', 'not above 0'],
    ['64x64@20:0', 'not above 0'],
    ['0*64x64@20', 'not above 0'],
  ])('refuses %p with a sentence', (text, sentence) => expect(() => parseMix(text)).toThrow(sentence));
});
