import type { RunningApi } from '../../../test/support/api.js';
import { startApi, workerDescription } from '../../../test/support/api.js';

describe('draining over the API', () => {
  let api: RunningApi;
  beforeEach(async () => {
    api = await startApi();
  });
  afterEach(() => api.close());

  it('drains a worker and starts it again', async () => {
    const path = `/v1/workers/${encodeURIComponent('cpu:0#1')}`;
    const drained = await api.post(`${path}/drain`, {});
    expect([drained.status, drained.json.state]).toEqual([202, 'draining']);
    const started = await api.post(`${path}/start`, {});
    expect([started.status, started.json.state]).toEqual([202, 'starting']);
  });

  it.each(['drain', 'start'])('names the workers there are when told to %s another', async (action) => {
    const answer = await api.post(`/v1/workers/cpu:9/${action}`, {});
    expect([answer.status, answer.json.code]).toEqual([404, 'worker_not_found']);
    expect(answer.json.errors[0]).toMatchObject({ field: 'id', value: 'cpu:9', limit: ['cpu:0#1'] });
  });

  it('drains the node', async () => {
    const serving = { id: 'node-1', name: 'here', state: 'serving', running: 0, shared: false };
    expect((await api.get('/v1/node')).json).toEqual(serving);
    const answer = await api.post('/v1/node/drain', {});
    expect(answer.status).toBe(202);
    expect(answer.json).toEqual({ ...serving, state: 'draining' });
  });

  it('takes no jobs while it drains, and says so', async () => {
    expect((await api.get('/health/ready')).status).toBe(200);
    await api.post('/v1/node/drain', {});
    const refused = await api.post('/v1/jobs', { prompt: 'a red circle' });
    expect([refused.status, refused.json.code, refused.headers.get('retry-after')]).toEqual([503, 'unavailable', '5']);
    expect(await api.countJobs()).toBe(0);
    const ready = await api.get('/health/ready');
    expect(ready.status).toBe(503);
    expect(ready.json).toMatchObject({
      node: 'draining',
      ready: false,
      detail: 'the node is draining and takes no jobs',
    });
  });
});

describe('GET /v1/workers of a store that nodes share', () => {
  it('lists our own as they are and those of others as they last told', async () => {
    const [there, stale] = ['there', 'here'].map((node) => workerDescription({ id: 'cuda:0#1', node }));
    const node = { url: null, state: 'serving', startedAt: 0, seenAt: 0 } as const;
    const api = await startApi({
      otherNodes: [
        { ...node, id: 'node-2', name: 'there', workers: [there!] },
        { ...node, id: 'node-1', name: 'here', workers: [stale!] },
      ],
    });
    try {
      const { json } = await api.get('/v1/workers');
      expect(json.data.map((worker: { node: string; id: string }) => [worker.node, worker.id])).toEqual([
        ['here', 'cpu:0#1'],
        ['there', 'cuda:0#1'],
      ]);
      expect((await api.get('/v1/node')).json).toMatchObject({ name: 'here', shared: true });
      const elsewhere = await api.post('/v1/workers/cuda:0%231/drain', {});
      expect(elsewhere.status).toBe(404);
    } finally {
      await api.close();
    }
  });
});
