import { PlanNames } from './plan-names.js';

describe('PlanNames', () => {
  it('gives a text one name, and no other text the same', () => {
    const names = new PlanNames();
    const first = names.of('SELECT 1');

    expect(first).toBeDefined();
    expect(names.of('SELECT 2')).not.toBe(first);
    expect(names.of('SELECT 1')).toBe(first);
  });

  it('gives out no more than a connection should keep, and goes on to know those', () => {
    const names = new PlanNames();
    for (let n = 0; n < 200; n++) names.of(`SELECT ${n}`);

    expect(names.of('SELECT 200')).toBeUndefined();
    expect(names.of('SELECT 7')).toBe('safelight 8');
  });
});
