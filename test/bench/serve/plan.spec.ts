import { diceOf } from '../support/dice.js';
import { parseMix } from './mix.js';
import { distinctDrawings, planRequests } from './plan.js';

const terms = {
  arrivals: { pattern: 'poisson', ratePerSecond: 100 },
  requests: 4000,
  mix: parseMix('64x64@20:3,64x64@20/high:1,32x32@8:4'),
  variants: 4,
} as const;

describe('a plan of requests', () => {
  it('draws entries as often as their weights say', () => {
    const plan = planRequests(terms, diceOf(3));
    const shareOf = (name: string) => plan.filter(({ entry }) => entry.name === name).length / plan.length;
    expect(shareOf('64x64@20')).toBeCloseTo(3 / 8, 1);
    expect(shareOf('64x64@20/high')).toBeCloseTo(1 / 8, 1);
    expect(shareOf('32x32@8')).toBeCloseTo(4 / 8, 1);
  });

  it('is repeated by its seed, and by no other', () => {
    expect(planRequests(terms, diceOf(3))).toEqual(planRequests(terms, diceOf(3)));
    expect(planRequests(terms, diceOf(3))).not.toEqual(planRequests(terms, diceOf(4)));
  });

  it('asks alike for requests that differ in priority only, and for no others', () => {
    const drawings = [...distinctDrawings(planRequests(terms, diceOf(3))).values()];
    // Two sizes of four variants each.
    expect(drawings).toHaveLength(8);
    expect(new Set(drawings.map((drawing) => JSON.stringify(drawing))).size).toBe(8);
  });
});
