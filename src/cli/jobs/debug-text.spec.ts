import { expect, it } from '@jest/globals';

import { attempt, job } from '../../../test/support/cli.js';
import type { DebugJson } from '../client/wire.js';
import { debugText } from './debug-text.js';

const GIB = 1024 ** 3;
const ENDED = {
  number: 1,
  node: 'here',
  worker: 'cuda:0#1',
  device: 'cuda:0',
  outcome: 'failed',
  memory: { total_bytes: 8 * GIB, free_bytes: 1 * GIB },
  peak_memory_bytes: 7 * GIB,
  degradations: [{ rung: 'vae_tiling', fidelity: 'equivalent', cause: 'predicted' }],
  resumed_from_step: 4,
  versions: { torch: '2.13.0', diffusers: '0.42.1' },
  failure: {
    kind: 'device_out_of_memory',
    phase: 'decode',
    step: 9,
    message: 'Memory ran out.',
    detail: 'Traceback:\n  line 7\n',
    requested_bytes: 2 * GIB,
  },
};

it('shows the job, how it goes on, and each attempt with its traceback', () => {
  const record: DebugJson = {
    version: '0.1.0',
    job: job({ attempts: [attempt()] }),
    attempts: [
      ENDED,
      {
        ...ENDED,
        number: 2,
        node: null,
        worker: null,
        device: null,
        outcome: 'running',
        memory: null,
        peak_memory_bytes: null,
        degradations: [],
        resumed_from_step: null,
        versions: null,
        failure: null,
      },
    ],
    next_attempt: { alone: true, avoids: ['here/cuda:0#1'], checkpoint: { step: 9, attempt: 1 } },
  };
  const [, ...parts] = debugText(record).split('\n\n');
  expect(parts).toEqual([
    ['safelight   0.1.0', 'goes on at  step 9', 'device      to itself', 'avoids      here/cuda:0#1'].join('\n'),
    [
      'attempt 1  failed',
      'on         here / cuda:0#1 / cuda:0',
      'resumed    from step 4',
      'rung       vae_tiling (equivalent), because of predicted',
      'peak       7.0 GiB',
      'memory     1.0 GiB free of 8.0 GiB at its end',
      'runs now   torch 2.13.0, diffusers 0.42.1',
      'failure    device_out_of_memory at step 9: Memory ran out.',
      'asked for  2.0 GiB',
      'Traceback:',
      '  line 7',
    ].join('\n'),
    ['attempt 2  running', 'on         no worker'].join('\n'),
  ]);
});
