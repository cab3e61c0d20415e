import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';

const NOON = Date.UTC(2026, 10, 21, 12);

describe('the header Cancel-After', () => {
  let api: RunningApi;
  beforeEach(async () => {
    api = await startApi({ now: () => NOON });
  });
  afterEach(() => api.close());

  const submit = (header: string, body = {}, more = {}) =>
    api.post('/v1/jobs', { prompt: 'a cat', ...body }, { 'Cancel-After': header, ...more });

  it.each([
    ['90', '2026-11-21T12:01:30.000Z'],
    ['90s', '2026-11-21T12:01:30.000Z'],
    ['5m', '2026-11-21T12:05:00.000Z'],
    ['1h', '2026-11-21T13:00:00.000Z'],
  ])('%s is a deadline at %s', async (header, expected) => {
    expect((await submit(header)).json.request.finish_by).toBe(expected);
  });

  it('gives way to a finish_by that comes first, and goes before a later one', async () => {
    const earlier = '2026-11-21T12:00:30.000Z';
    expect((await submit('1m', { finish_by: earlier })).json.request.finish_by).toBe(earlier);
    const later = '2026-11-21T12:10:00.000Z';
    expect((await submit('1m', { finish_by: later })).json.request.finish_by).toBe('2026-11-21T12:01:00.000Z');
  });

  it('is the same request when it is repeated, and another one with another duration', async () => {
    const first = await submit('1m', {}, { 'Idempotency-Key': 'k' });
    expect((await submit('1m', {}, { 'Idempotency-Key': 'k' })).json.id).toBe(first.json.id);
    expect((await submit('2m', {}, { 'Idempotency-Key': 'k' })).status).toBe(409);
  });

  it.each(['soon', '0s', '-5s', '1.5m', '200h', ''])('%p is refused, and nothing is enqueued', async (header) => {
    const answer = await submit(header);
    expect([answer.status, answer.json.errors[0].field]).toEqual([422, 'Cancel-After']);
    expect(await api.countJobs()).toBe(0);
  });
});
