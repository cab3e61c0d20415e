import { randomUUID } from 'node:crypto';

import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';

describe('reading and cancelling jobs', () => {
  let api: RunningApi;
  beforeEach(async () => {
    api = await startApi();
  });
  afterEach(() => api.close());

  async function submit(fields: object = {}): Promise<string> {
    const { json } = await api.post('/v1/jobs', { prompt: 'x', ...fields });
    return (json as { id: string }).id;
  }

  async function listed(query: string): Promise<string[]> {
    const { json } = await api.get(`/v1/jobs${query}`);
    return (json as { data: { id: string }[] }).data.map(({ id }) => id);
  }

  it('reads a job by its id, in capitals as well', async () => {
    const id = await submit();
    expect((await api.get(`/v1/jobs/${id}`)).json.id).toBe(id);
    expect((await api.get(`/v1/jobs/${id.toUpperCase()}`)).json.id).toBe(id);
  });

  it.each(['/v1/jobs/ID', '/v1/jobs/ID/events', '/v1/jobs/ID/preview', '/v1/jobs/ID/artifacts/0'])(
    'knows no job behind %s when its id was never given out',
    async (path) => {
      for (const id of [randomUUID(), 'x', '..%2f..%2fetc%2fpasswd', '%00', `${randomUUID()}x`]) {
        const answer = await api.get(path.replace('ID', id));
        expect(answer.json).toMatchObject({ status: 404, code: 'job_not_found', errors: [] });
      }
    },
  );

  it('lists the newest first, in pages', async () => {
    const ids = [await submit(), await submit(), await submit()].toReversed();
    const first = await api.get('/v1/jobs?limit=2');
    expect(first.json.data.map((job: { id: string }) => job.id)).toEqual(ids.slice(0, 2));
    const second = await api.get(`/v1/jobs?limit=2&cursor=${first.json.next_cursor}`);
    expect(second.json.data.map((job: { id: string }) => job.id)).toEqual(ids.slice(2));
    expect(second.json.next_cursor).toBeNull();
  });

  it('has no next page when the last one is full', async () => {
    await submit();
    expect((await api.get('/v1/jobs?limit=1')).json.next_cursor).toBeNull();
  });

  it('filters by state, model and priority', async () => {
    const low = await submit({ priority: 'low' });
    const cancelled = await submit();
    await api.post(`/v1/jobs/${cancelled}/cancel`, {});
    expect(await listed('?state=queued')).toEqual([low]);
    expect(await listed('?state=queued,cancelled')).toEqual([cancelled, low]);
    expect(await listed('?state=queued&state=cancelled')).toEqual([cancelled, low]);
    expect(await listed('?priority=low')).toEqual([low]);
    expect(await listed('?model=shapes')).toEqual([cancelled, low]);
    expect(await listed('?model=other')).toEqual([]);
  });

  it.each([
    ['state=quued', 'state', 'quued'],
    ['state=', 'state', ''],
    ['priority=5', 'priority', '5'],
    ['priority=low&priority=high', 'priority', '["low","high"]'],
    ['limit=0', 'limit', '0'],
    ['limit=201', 'limit', '201'],
    ['limit=1e1', 'limit', '1e1'],
    ['limit=5&limit=6', 'limit', '["5","6"]'],
    ['cursor=abc', 'cursor', 'abc'],
    ['model=%00', 'model', '\0'],
    ['modle=x', 'modle', 'x'],
  ])('refuses the query %s', async (query, field, value) => {
    const { json } = await api.get(`/v1/jobs?${query}`);
    expect(json).toMatchObject({ status: 422, code: 'invalid_request', errors: [{ field, value }] });
  });

  it('cancels a waiting job at once, and leaves it as it is afterwards', async () => {
    const id = await submit();
    const first = await api.request('POST', `/v1/jobs/${id}/cancel`);
    expect([first.status, first.json.state]).toEqual([202, 'cancelled']);
    const again = await api.request('POST', `/v1/jobs/${id}/cancel`);
    expect([again.status, again.json]).toEqual([200, first.json]);
  });

  it('notes the cancel of a running job', async () => {
    const id = await submit();
    await api.claim();
    const answer = await api.post(`/v1/jobs/${id}/cancel`, {});
    expect([answer.status, answer.json.state]).toEqual([202, 'running']);
    expect((await api.store.get(id))?.cancelRequestedAt).not.toBeNull();
  });

  it('leaves a job that succeeded as it is', async () => {
    const id = await submit();
    await api.succeed(await api.claim());
    const answer = await api.post(`/v1/jobs/${id}/cancel`, {});
    expect([answer.status, answer.json.state]).toEqual([200, 'succeeded']);
  });

  it('cannot cancel a job that is not', async () => {
    const answer = await api.request('POST', `/v1/jobs/${randomUUID()}/cancel`);
    expect(answer.json).toMatchObject({ status: 404, code: 'job_not_found' });
  });

  it('answers 503 with Retry-After when the store is gone, and tells nothing of it', async () => {
    await api.store.close();
    const answer = await api.get('/v1/jobs');
    expect(answer.json).toMatchObject({ status: 503, code: 'unavailable' });
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  });
});
