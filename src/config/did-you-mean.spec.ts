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

describe('among the fields of a request', () => {
  const known = ['prompt', 'width', 'height', 'num_inference_steps', 'guidance_scale', 'seed', 'scheduler'];
  it.each([
    ['widht', 'width'],
    ['promt', 'prompt'],
    ['numInferenceSteps', 'num_inference_steps'],
    ['steps', 'num_inference_steps'],
    ['guidance', 'guidance_scale'],
    ['sampler', null],
    ['size', null],
    ['', null],
    ['x'.repeat(10_000), null],
  ])('takes %j for %j', (word, meant) => {
    expect(didYouMean(word, known)).toBe(meant);
  });
});
