import { reconnectDelay } from './reconnect-delay.js';

it.each([
  [0, 0, 50],
  [0, 1, 100],
  [1, 1, 200],
  [5, 1, 3200],
  [6, 1, 5000],
  [1000, 0, 2500],
])('waits after %d failures, with luck %d, %d ms', (failures, random, ms) => {
  expect(reconnectDelay(failures, random)).toBe(ms);
});
