import { PRIORITIES, priorityRank, sortAt } from './priority.js';

const HOUR = 3_600_000;

describe('priority', () => {
  it('puts a more urgent class first among jobs of the same time', () => {
    const keys = PRIORITIES.map((priority) => sortAt(priority, 1000));
    expect(keys).toEqual(keys.toSorted((a, b) => a - b));
  });

  it('is first in, first out inside a class', () => {
    expect(sortAt('normal', 1000)).toBeLessThan(sortAt('normal', 1001));
  });

  it('lets a job of the lowest class pass a fresh urgent one after an hour, so that nothing starves', () => {
    expect(sortAt('low', 0)).toBeLessThan(sortAt('urgent', HOUR));
    expect(sortAt('low', 0)).toBeGreaterThan(sortAt('urgent', 60_000));
  });

  it('has a rank for each class, the most urgent first', () => {
    expect(PRIORITIES.map(priorityRank)).toEqual([0, 1, 2, 3]);
  });
});
