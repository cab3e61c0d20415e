import type { RunningApi } from '../../../test/support/api.js';
import { startApi, workerDescription } from '../../../test/support/api.js';

const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();

describe('submissions with deadlines', () => {
  let api: RunningApi;
  beforeEach(async () => {
    api = await startApi();
  });
  afterEach(() => api.close());

  const submit = (fields: Record<string, unknown>) => api.post('/v1/jobs', { prompt: 'a red circle', ...fields });
  /** One job a minute is done here, and this many wait. */
  async function busy(waiting: number): Promise<void> {
    await submit({});
    await api.succeed(await api.claim());
    for (let index = 0; index < waiting; index += 1) await submit({});
  }

  it.each(['start_by', 'finish_by'])('are refused when %s would pass at the rate of the last minute', async (field) => {
    await busy(2);
    const { status, json, headers } = await submit({ [field]: inSeconds(90) });
    expect([status, json.code]).toEqual([429, 'deadline_infeasible']);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(json.errors).toEqual([
      expect.objectContaining({ field, limit: { expected_at: expect.stringMatching(/^20.*Z$/) } }),
    ]);
    expect(await api.countJobs()).toBe(3);
  });

  it('are taken when the deadline is later, or the job more urgent', async () => {
    await busy(2);
    expect((await submit({ start_by: inSeconds(150) })).status).toBe(202);
    expect((await submit({ start_by: inSeconds(90), priority: 'urgent' })).status).toBe(202);
  });

  it('are taken when nothing was measured yet', async () => {
    for (let index = 0; index < 3; index += 1) await submit({});
    expect((await submit({ start_by: inSeconds(5) })).status).toBe(202);
  });

  it('count those of their own batch that run before them', async () => {
    await busy(0);
    const request = { prompt: 'a red circle', start_by: inSeconds(30) };
    const refused = await api.post('/v1/jobs/batch', { requests: [request, request] });
    expect([refused.status, refused.json.errors.map(({ field }: { field: string }) => field)]).toEqual([
      429,
      ['requests[1].start_by'],
    ]);
    expect(await api.countJobs()).toBe(1);
  });

  it('give the job of a key again, whatever waits by now', async () => {
    await busy(0);
    const body = { prompt: 'a red circle', start_by: inSeconds(30) };
    const first = await api.post('/v1/jobs', body, { 'Idempotency-Key': 'k' });
    expect(first.status).toBe(202);
    const again = await api.post('/v1/jobs', body, { 'Idempotency-Key': 'k' });
    expect([again.status, again.json.id]).toEqual([200, first.json.id]);
    const other = await api.post('/v1/jobs', body, { 'Idempotency-Key': 'other' });
    expect(other.json.code).toBe('deadline_infeasible');
  });

  it('are refused while no worker takes work and the deadline is near', async () => {
    api.workers.splice(0, 1, workerDescription({ state: 'starting' }));
    const { status, json, headers } = await submit({ start_by: inSeconds(5) });
    expect([status, json.code, headers.get('retry-after')]).toEqual([503, 'not_ready', '10']);
    expect(json.errors).toEqual([expect.objectContaining({ field: 'start_by' })]);
    expect(await api.countJobs()).toBe(0);
    expect((await submit({ start_by: inSeconds(60) })).status).toBe(202);
    expect((await submit({})).status).toBe(202);
  });
});
