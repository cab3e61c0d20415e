import { fieldName } from './field-names.js';

describe('the name of a field', () => {
  it.each([
    ['time_budget_ms', 'time_budget'],
    ['requests[0].time_budget_ms', 'requests[0].time_budget'],
    ['width', 'width'],
    // Words of the client's own, as options have.
    ['scheduler_options.constructor', 'scheduler_options.constructor'],
    ['scheduler_options.__proto__', 'scheduler_options.__proto__'],
  ])('%s is %s', (field, name) => {
    expect(fieldName(field)).toBe(name);
  });
});
