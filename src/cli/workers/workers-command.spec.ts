import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { answerJson, StubApi } from '../../../test/support/cli.js';
import { runProgram } from '../program.js';

const WORKER = {
  id: 'cpu:0#1',
  node: 'here',
  device: 'cpu:0',
  state: 'busy',
  pid: 4711,
  models: ['shapes'],
  running: 1,
  restarts: 0,
  reason: null,
};

describe('safelight workers', () => {
  let api: StubApi;
  let out: string[];
  let err: string[];
  beforeEach(async () => {
    out = [];
    err = [];
    const there = { ...WORKER, id: 'cuda:0#1', node: 'there', state: 'defunct', pid: null, running: 0, models: [] };
    api = await StubApi.start({
      'GET /health/live': (_, response) => answerJson(response, 200, { live: true }),
      'GET /v1/workers': (_, response) =>
        answerJson(response, 200, { data: [WORKER, { ...there, reason: 'it crashed 5 times' }] }),
      'POST /v1/workers/cpu%3A0%231/drain': (_, response) =>
        answerJson(response, 202, { ...WORKER, state: 'draining', reason: 'it drains' }),
      'POST /v1/workers/cpu%3A0%231/start': (_, response) =>
        answerJson(response, 202, { ...WORKER, state: 'starting', running: 0 }),
      'POST /v1/workers/cpu%3A9/drain': (_, response) =>
        answerJson(response, 404, {
          title: 'There is no such worker',
          status: 404,
          code: 'worker_not_found',
          errors: [{ field: 'id', message: 'no such worker on this node', value: 'cpu:9', limit: ['cpu:0#1'] }],
        }),
    });
  });
  afterEach(() => api.stop());

  const workers = (...args: string[]) =>
    runProgram(['workers', ...args, '--server', api.url], {
      env: {},
      cwd: '/',
      out: (text) => void out.push(text),
      err: (text) => void err.push(text),
      draw: () => {},
      columns: () => null,
      unicode: true,
    });

  it('lists the workers of all nodes', async () => {
    expect(await workers()).toBe(0);
    expect(out.join('\n').split('\n')).toEqual([
      'ID        NODE   STATE    PID   RUNNING  RESTARTS  MODELS  REASON',
      'cpu:0#1   here   busy     4711  1        0         shapes  ',
      'cuda:0#1  there  defunct  -     0        0         -       it crashed 5 times',
    ]);
  });

  it.each([
    ['drain', 'The worker cpu:0#1 is draining, with 1 job (it drains).'],
    ['start', 'The worker cpu:0#1 is starting.'],
  ])('%ss a worker and says how it is then', async (what, told) => {
    expect(await workers(what, 'cpu:0#1')).toBe(0);
    expect(out).toEqual([told]);
  });

  it('prints what the server answers', async () => {
    expect(await workers('drain', 'cpu:0#1', '--json')).toBe(0);
    expect(JSON.parse(out[0]!)).toMatchObject({ id: 'cpu:0#1', state: 'draining' });
  });

  it('names the workers there are when it is told of another', async () => {
    expect(await workers('drain', 'cpu:9')).toBe(1);
    expect(err.join('\n')).toContain('id is "cpu:9": no such worker on this node (allowed: one of cpu:0#1)');
  });
});
