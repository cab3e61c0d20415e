import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { eventually } from '../../../test/support/signals.js';
import type { JobEvents } from '../../jobs/ports/job-events.port.js';

const SUBMISSION = { prompt: 'a red circle', seed: 1 };

/** Resolves when somebody who watched a job stops watching. */
function nobodyWatches(events: JobEvents): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const onJob = events.onJob.bind(events);
  events.onJob = (...args) => {
    const stop = onJob(...args);
    return () => {
      stop();
      resolve();
    };
  };
  return promise;
}

describe('a client that hangs up while it waits', () => {
  let api: RunningApi;
  beforeEach(async () => {
    api = await startApi();
  });
  afterEach(() => api.close());

  /** Asks for a picture, hangs up once the job is there, and returns the job's id when the server has noticed. */
  async function hangUp(headers: Record<string, string> = {}): Promise<string> {
    const noticed = nobodyWatches(api.events);
    const watched = watching();
    const caller = new AbortController();
    const answer = fetch(`${api.url}/v1/jobs`, {
      method: 'POST',
      body: JSON.stringify(SUBMISSION),
      headers: { 'Content-Type': 'application/json', Prefer: 'wait=60', ...headers },
      signal: caller.signal,
    }).catch(() => null);
    const id = await watched;
    caller.abort();
    await Promise.all([answer, noticed]);
    return id;
  }
  /** The id of the next job that is watched. */
  function watching(): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const onJob = api.events.onJob.bind(api.events);
    api.events.onJob = (id, listener) => {
      resolve(id);
      return onJob(id, listener);
    };
    return promise;
  }
  /** The store does one thing after the other: a cancel that was on its way is done when this is read. */
  const stateOf = async (id: string) => (await api.get(`/v1/jobs/${id}`)).json.state;

  it('has its waiting job cancelled', async () => {
    const id = await hangUp();
    await eventually('cancelled', async () => (await stateOf(id)) === 'cancelled' || null);
  });

  it('has its running job told to stop', async () => {
    const cancelled = new Promise((resolve) => api.events.onCancel(resolve));
    const started = watching().then(() => api.claim());
    const id = await hangUp();
    expect((await started).jobId).toBe(id);
    expect(await cancelled).toBe(id);
  });

  it('leaves its job running when it said so', async () => {
    const id = await hangUp({ 'Safelight-On-Disconnect': 'continue' });
    expect(await stateOf(id)).toBe('queued');
  });

  it('leaves a job alone that it can ask for again: its connection broke, it did not lose interest', async () => {
    const headers = { 'Idempotency-Key': 'the same' };
    const id = await hangUp(headers);
    expect((await api.post('/v1/jobs', SUBMISSION, headers)).json).toMatchObject({ id, state: 'queued' });
  });

  it('leaves a job alone that an earlier request asked for', async () => {
    const headers = { 'Idempotency-Key': 'the same' };
    const { json } = await api.post('/v1/jobs', SUBMISSION, headers);
    expect(await hangUp(headers)).toBe(json.id);
    expect(await stateOf(json.id)).toBe('queued');
  });

  it('leaves a job alone whose wait timed out', async () => {
    const { json } = await api.post('/v1/jobs', SUBMISSION, { Prefer: 'wait=0' });
    expect(await stateOf(json.id)).toBe('queued');
  });

  it('did not hang up when the server closes', async () => {
    const noticed = nobodyWatches(api.events);
    const watched = watching();
    const answer = fetch(`${api.url}/v1/jobs`, {
      method: 'POST',
      body: JSON.stringify(SUBMISSION),
      headers: { 'Content-Type': 'application/json', Prefer: 'wait=60' },
    }).catch(() => null);
    const id = await watched;
    await api.closeServer();
    await Promise.all([answer, noticed]);
    // The server reads the job, then would cancel it: a third call comes after both.
    for (let calls = 0; calls < 2; calls += 1) await api.store.get(id);
    expect((await api.store.get(id))?.state).toBe('queued');
  });

  it.each(['stop', ''])('is told which values the header takes, not %j', async (value) => {
    const answer = await api.post('/v1/jobs', SUBMISSION, { 'Safelight-On-Disconnect': value });
    expect(answer.status).toBe(422);
    expect(answer.json.errors).toEqual([
      { field: 'Safelight-On-Disconnect', message: 'must be continue', value, limit: ['continue'] },
    ]);
    expect(await api.countJobs()).toBe(0);
  });
});
