import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { StoreUnavailableError } from '../../jobs/ports/job-store.port.js';

const SUBMISSION = { prompt: 'a red circle', seed: 1 };

describe('a store that goes away', () => {
  let api: RunningApi;
  beforeEach(async () => {
    api = await startApi();
  });
  afterEach(() => api.close());

  const lost = () => Promise.reject(new StoreUnavailableError('the connection broke'));
  /** From now on it answers no question. */
  const stopsAnswering = () => Object.assign(api.store, { get: lost, eventsAfter: lost, queuePosition: lost });
  /** It takes what it is given next, and goes away. */
  function takesOneMore(): void {
    const insert = api.store.insert.bind(api.store);
    api.store.insert = async (...args) => {
      const result = await insert(...args);
      stopsAnswering();
      return result;
    };
  }

  it.each<Record<string, string>>([{}, { Prefer: 'wait=60' }])(
    'has the job told that was accepted before, with headers %j',
    async (headers) => {
      takesOneMore();
      const { status, json } = await api.post('/v1/jobs', SUBMISSION, headers);
      expect([status, json.state, json.queue_position]).toEqual([202, 'queued', null]);
      expect(await api.countJobs()).toBe(1);
    },
  );

  it('has the batch told that was accepted before', async () => {
    takesOneMore();
    const { status, json } = await api.post('/v1/jobs/batch', { requests: [SUBMISSION, SUBMISSION] });
    expect([status, json.data.length]).toEqual([202, 2]);
    expect(await api.countJobs()).toBe(2);
  });

  it.each([
    ['its key gives the job', { 'Idempotency-Key': 'k' }, 'send it again with the same Idempotency-Key'],
    ['to look before sending again', {}, 'look at GET /v1/jobs before sending it again'],
  ])('does not claim that nothing was accepted when it cannot know: %s', async (_, headers, words) => {
    const insert = api.store.insert.bind(api.store);
    api.store.insert = async (...args) => {
      await insert(...args);
      stopsAnswering();
      return lost();
    };
    const answer = await api.post('/v1/jobs', SUBMISSION, headers);
    expect([answer.status, answer.json.code, answer.headers.get('retry-after')]).toEqual([503, 'unavailable', '5']);
    expect(answer.json.detail).toContain(words);
    expect(answer.json.detail).not.toContain('nothing was written');
  });

  it('refuses what was not accepted', async () => {
    api.store.insert = lost;
    const answer = await api.post('/v1/jobs', SUBMISSION);
    expect([answer.status, answer.json.code]).toEqual([503, 'unavailable']);
    expect(answer.json.detail).toContain('nothing was written');
    expect(await api.countJobs()).toBe(0);
  });
});
