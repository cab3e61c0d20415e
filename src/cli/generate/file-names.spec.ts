import { describe, expect, it } from '@jest/globals';

import { extensionOf, formatOfName, indexed, numbered, slugOf, stemOf } from './file-names.js';

describe('the name of a picture', () => {
  it.each([
    ['A small red circle, left of a blue star!', 'a-small-red-circle-left-of-a-blue-star'],
    ['Ein Fuchs im Schnee über Köln', 'ein-fuchs-im-schnee-uber-koln'],
    ['../../etc/passwd', 'etc-passwd'],
    ['   ', 'picture'],
    ['富士山', 'picture'],
    ['word '.repeat(40), 'word-word-word-word-word-word-word-word-word'],
    ['x'.repeat(300), 'x'.repeat(48)],
  ])('says what %j says', (prompt, slug) => {
    expect(slugOf(prompt)).toBe(slug);
  });

  it('tells the seed, and the number only where there are several', () => {
    expect(stemOf('a cat', '7', 0, 1)).toBe('a-cat-7');
    expect(stemOf('a cat', '7', 2, 4)).toBe('a-cat-7-2');
    expect(numbered('a-cat-7', '.png', 1)).toBe('a-cat-7.png');
    expect(numbered('a-cat-7', '.png', 3)).toBe('a-cat-7-3.png');
    expect(indexed('out/cat.webp', 1, 2)).toBe('out/cat-1.webp');
    expect(indexed('out/cat.webp', 0, 1)).toBe('out/cat.webp');
    expect(indexed('cat', 1, 2)).toBe('cat-1');
  });

  it('goes with the format', () => {
    expect(['a.PNG', 'a.mp4', 'a.jpg', 'a.jpeg', 'a', 'a.gif'].map(formatOfName)).toEqual([
      'png',
      'mp4',
      'jpeg',
      'jpeg',
      null,
      undefined,
    ]);
    expect(['image/png', 'image/jpeg', 'image/webp', 'video/mp4'].map(extensionOf)).toEqual([
      '.png',
      '.jpg',
      '.webp',
      '.mp4',
    ]);
  });
});
