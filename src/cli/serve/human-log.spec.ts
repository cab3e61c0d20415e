import { expect, it } from '@jest/globals';

import { humanLog } from './human-log.js';

it('writes a short line a record', () => {
  const lines: string[] = [];
  const log = humanLog('info', (line) => lines.push(line));
  log.child({ worker: 'cpu-0' }).warn({ restarts: 1, err: new Error('it exited') }, 'worker is started again');
  log.debug('not told');
  log.info('listening');
  expect(lines.map((line) => line.slice(9))).toEqual([
    'warn  worker is started again  worker=cpu-0  restarts=1  err=it exited',
    'info  listening',
  ]);
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d /);
});
