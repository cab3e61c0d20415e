import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';

const PAGE = 'https://pictures.example.org';
const PREFLIGHT = { 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'authorization' };

describe('a page in a browser', () => {
  let api: RunningApi;
  afterEach(() => api.close());

  const preflight = (origin: string) =>
    api.request('OPTIONS', '/v1/jobs', { headers: { Origin: origin, ...PREFLIGHT } });

  it('of a configured origin may call the API with a key, and read what it needs of the answer', async () => {
    api = await startApi({ corsOrigins: [PAGE] });
    const { status, headers } = await preflight(PAGE);
    expect(status).toBe(204);
    expect(headers.get('access-control-allow-origin')).toBe(PAGE);
    expect(headers.get('access-control-allow-headers')).toBe('authorization');
    expect(headers.get('access-control-allow-credentials')).toBeNull();
    const answer = await api.get('/v1/models', { Origin: PAGE });
    expect(answer.headers.get('access-control-expose-headers')).toContain('Location');
  });

  it('of another origin may not', async () => {
    api = await startApi({ corsOrigins: [PAGE] });
    expect((await preflight('https://elsewhere.example.org')).headers.get('access-control-allow-origin')).toBeNull();
  });

  it('may not while nothing is configured', async () => {
    api = await startApi();
    expect((await preflight(PAGE)).headers.get('access-control-allow-origin')).toBeNull();
    expect((await api.get('/v1/models', { Origin: PAGE })).headers.get('access-control-allow-origin')).toBeNull();
  });
});
