import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';

const WEBHOOK = 'https://example.org/done?job=1';

describe('POST /v1/jobs', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi({ webhookSecret: `whsec_${Buffer.alloc(24, 7).toString('base64')}` });
  });
  afterAll(() => api.close());

  const submit = (fields: Record<string, unknown>, headers = {}) =>
    api.post('/v1/jobs', { prompt: 'a red circle', seed: 1, ...fields }, headers);

  it('keeps the address to tell when the job is final', async () => {
    expect((await submit({ webhook: WEBHOOK })).json.request.webhook).toBe(WEBHOOK);
    expect((await submit({ webhook: null })).json.request.webhook).toBeNull();
  });

  it('refuses an address nobody can be told at, beside whatever else is wrong', async () => {
    const { status, json } = await submit({ webhook: 'ftp://example.org', width: 'wide' });
    expect(status).toBe(422);
    expect(json.errors.map(({ field }: { field: string }) => field)).toEqual(['width', 'webhook']);
  });

  it('gives jobs the time budget of the settings when they name none', async () => {
    expect((await submit({})).json.request.time_budget_ms).toBe(30_000);
    expect((await submit({ time_budget_ms: 5 })).json.request.time_budget_ms).toBe(5);
  });

  it('keeps the idempotency keys of bearer tokens apart, and shows none of them', async () => {
    const as = (token: string) => submit({}, { 'Idempotency-Key': 'same', Authorization: `Bearer ${token}` });
    const first = await as('a');
    const again = await as('a');
    const other = await as('b');
    const nobody = await submit({}, { 'Idempotency-Key': 'same' });
    expect([first.status, again.status, other.status, nobody.status]).toEqual([202, 200, 202, 202]);
    expect(again.json.id).toBe(first.json.id);
    // The first 16 digits of the SHA-256 of the token.
    expect((await api.store.get(first.json.id))?.client).toBe('ca978112ca1bbdca');
    expect((await api.store.get(nobody.json.id))?.client).toBe('');
    expect(first.text).not.toContain('ca978112ca1bbdca');
  });
});
