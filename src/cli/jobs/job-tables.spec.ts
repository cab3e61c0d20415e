import { expect, it } from '@jest/globals';

import type { JobJson } from '../client/wire.js';
import { jobDetails, jobTable } from './job-tables.js';

const NOON = Date.UTC(2026, 10, 21, 12);
const at = (ms: number) => new Date(NOON + ms).toISOString();

const JOB: JobJson = {
  id: '0199c1d2-7a3b-7c4d-8e5f-60718293a4b5',
  state: 'queued',
  priority: 'normal',
  model: 'shapes',
  queue_position: 2,
  created_at: at(0),
  started_at: null,
  finished_at: null,
  progress: null,
  request: {
    prompt: 'a small red circle\nleft of a blue star on a white background',
    seed: '9223372036854775807',
    num_images: 1,
  },
  attempts: [],
  artifacts: [],
  degradations: [],
  failure: null,
  waiting_for: 'capacity',
};

const RUNNING: JobJson = {
  ...JOB,
  state: 'running',
  model: 'xl',
  queue_position: null,
  progress: { phase: 'denoise', step: 5, steps: 10, fraction: 0.456, eta_ms: 10 },
  request: { prompt: 'a cat', seed: 7, num_images: 1 },
};

it('lists jobs one a line', () => {
  expect(jobTable([JOB, RUNNING], NOON + 125_000).split('\n')).toEqual([
    'ID                                    AGE  STATE         PRIORITY  MODEL   ATTEMPTS  PROMPT',
    '0199c1d2-7a3b-7c4d-8e5f-60718293a4b5  2m   queued #2     normal    shapes  0         a small red circle left of a blue star on a whi…',
    '0199c1d2-7a3b-7c4d-8e5f-60718293a4b5  2m   running 45 %  normal    xl      0         a cat',
  ]);
});

it('shows one job with what happened to it', () => {
  const failure = { kind: 'worker_lost', phase: 'denoise', step: 3, message: 'the process was killed' };
  const attempt = { worker: 'cpu:0#1', device: 'cpu:0', started_at: at(1000), phases: [] };
  const job: JobJson = {
    ...JOB,
    state: 'succeeded',
    waiting_for: null,
    queue_position: null,
    finished_at: at(65_000),
    attempts: [
      { ...attempt, number: 1, finished_at: at(4000), outcome: 'failed', failure },
      { ...attempt, number: 2, finished_at: at(65_000), outcome: 'succeeded', failure: null },
    ],
    artifacts: [
      {
        index: 0,
        url: '/v1/jobs/x/artifacts/0',
        media_type: 'image/png',
        width: 64,
        height: 64,
        bytes: 7312,
        sha256: '',
        seed: 7,
      },
    ],
  };
  expect(jobDetails(job).split('\n').slice(5)).toEqual([
    'submitted  2026-11-21T12:00:00.000Z',
    'finished   2026-11-21T12:01:05.000Z, after 1 min 05 s',
    'attempt 1  failed in 3.0 s on cpu:0#1: worker_lost: the process was killed',
    'attempt 2  succeeded in 1 min 04 s on cpu:0#1',
    'picture 0  64x64 image/png, 7.1 KiB, seed 7, /v1/jobs/x/artifacts/0',
  ]);
});
