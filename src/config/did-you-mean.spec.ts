import { expect, it } from '@jest/globals';

import { didYouMean } from './did-you-mean.js';

const KNOWN = ['port', 'host', 'max_waiting', 'workers'];

it.each([
  ['prot', 'port'],
  ['PORT', 'port'],
  ['hots', 'host'],
  ['maxwaiting', 'max_waiting'],
  ['worker', 'workers'],
  ['x', null],
  ['banana', null],
])('for %s suggests %s', (word, meant) => {
  expect(didYouMean(word, KNOWN)).toBe(meant);
});
