import { afterEach, expect, it } from '@jest/globals';

import type { Handler } from '../../../test/support/cli.js';
import { answerJson, StubApi } from '../../../test/support/cli.js';
import { ApiClient } from '../client/api-client.js';
import { followJob } from './follow-job.js';
import type { ProgressView } from './progress-view.js';
import { describe as wordsOf } from './progress-view.js';

let api: StubApi;

afterEach(() => api.stop());

/** A server whose one job waits, with the given workers. */
async function startServer(workers: object[], events: Handler): Promise<ApiClient> {
  const job = { id: '1', state: 'queued', queue_position: 3, waiting_for: 'capacity' };
  api = await StubApi.start({
    'GET /v1/jobs/1': (_, response) => answerJson(response, 200, job),
    'GET /v1/workers': (_, response) => answerJson(response, 200, { data: workers }),
    'GET /v1/jobs/1/events': events,
  });
  return new ApiClient(api.url);
}

const silent: Handler = (_, response) =>
  response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
const silentButAlive: Handler = (_, response) =>
  void response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': keep-alive\n\n');
const worker = (changes: object) => ({
  id: 'cpu-0',
  state: 'starting',
  reason: 'importing torch',
  restarts: 0,
  ...changes,
});

/** Follows until the display is shown `until`, or to the end. */
async function follow(
  client: ApiClient,
  options: {
    maxRestarts?: number;
    until?: string;
    /** Only after the server was away. */ again?: boolean;
    times?: number;
  } = {},
) {
  const shown: string[] = [];
  const enough = new AbortController();
  const show = (view: ProgressView) => {
    shown.push(wordsOf(view));
    const wasAway = shown.some((words) => words.startsWith('no answer'));
    const times = shown.filter((words) => words === options.until).length;
    if (wordsOf(view) === options.until && times >= (options.times ?? 1) && (wasAway || options.again !== true))
      enough.abort();
  };
  const { maxRestarts = null } = options;
  const limits = { attempts: 4, baseDelayMs: 1 };
  const end = followJob(client, '1', {
    display: { show, close: () => {} },
    signal: enough.signal,
    limits,
    maxRestarts,
  });
  const outcome = await end.then(
    (job) => ({ job }),
    (error: unknown) => ({ error: enough.signal.aborted ? null : error }),
  );
  return { shown, outcome };
}

it.each([
  [
    'the place in line while the workers are busy',
    [worker({ state: 'busy', reason: null })],
    'queued, number 3 in line',
  ],
  ['what a worker that starts is doing', [worker({})], 'starting the worker: importing torch'],
  ['why a worker is down', [worker({ state: 'defunct', reason: 'killed' })], 'the worker is defunct: killed'],
])('shows %s', async (_, workers, words) => {
  const client = await startServer(workers, silent);
  expect((await follow(client, { until: words })).shown).toEqual([words]);
});

it('gives up on workers of its own that do not come up', async () => {
  const client = await startServer(
    [worker({ state: 'defunct', reason: 'it exited with code 1', restarts: 3 })],
    silent,
  );
  const { outcome } = await follow(client, { maxRestarts: 3 });
  expect(outcome).toMatchObject({
    error: { kind: 'worker_lost', message: expect.stringContaining('it exited with code 1') as unknown },
  });
});

it('waits for workers of its own that were killed at work, however often', async () => {
  const workers = [worker({ restarts: 0 })];
  const client = await startServer(workers, (_, response) => {
    const states = ['running', 'queued'].map((state) => `event: state\ndata: {"state":"${state}","attempt":1}\n\n`);
    workers[0] = worker({ state: 'defunct', reason: 'killed', restarts: 7 });
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(states.join(''));
  });
  const { outcome } = await follow(client, { maxRestarts: 3, until: 'the worker is defunct: killed', times: 2 });
  expect(outcome).toEqual({ error: null });
});

it('shows where the job stands once the server is back', async () => {
  let connections = 0;
  const client = await startServer([worker({ state: 'busy', reason: null })], (request, response, body) => {
    connections += 1;
    if (connections < 3) response.destroy();
    else silentButAlive(request, response, body);
  });
  const { shown } = await follow(client, { until: 'queued, number 3 in line', again: true });
  expect(shown.slice(-2)).toEqual([`no answer from ${client.url}, trying again`, 'queued, number 3 in line']);
});

it('says that the job is kept when the server does not come back', async () => {
  const client = await startServer([], (_, response) => void response.destroy());
  const { outcome } = await follow(client);
  expect(outcome).toMatchObject({
    error: { kind: 'connection_lost', nextStep: expect.stringContaining('safelight jobs show 1') as unknown },
  });
});

it('shows phases and steps as they come, and which attempt it is', async () => {
  const lines: [string, unknown][] = [
    ['state', { state: 'running', attempt: 1 }],
    ['phase', { phase: 'encode', attempt: 1 }],
    ['progress', { phase: 'denoise', step: 1, steps: 4, fraction: 0.2, eta_ms: 5 }],
    ['state', { state: 'running', attempt: 2 }],
    ['phase', { phase: 'denoise', attempt: 2 }],
    ['final', { job: { id: '1', state: 'succeeded' } }],
  ];
  const client = await startServer([worker({ state: 'ready' })], (_, response) => {
    const text = lines.map(
      ([event, data], index) => `id: ${index}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`,
    );
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(text.join(''));
  });
  const { shown, outcome } = await follow(client);
  expect(shown.filter((words) => !words.startsWith('queued'))).toEqual([
    'reading the prompt',
    'denoising',
    'denoising (attempt 2)',
  ]);
  expect(outcome).toEqual({ job: { id: '1', state: 'succeeded' } });
});
