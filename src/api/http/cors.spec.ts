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

  describe('that sends what needs no permission of CORS', () => {
    const send = (site: string, origin = PAGE) => {
      const body = new FormData();
      body.append('prompt', 'x');
      // As a form of a page does it, and a browser by itself.
      return [
        api.request('POST', '/v1/images/edits', { body, headers: { Origin: origin, 'Sec-Fetch-Site': site } }),
        api.request('POST', '/v1/node/drain', { headers: { Origin: origin, 'Sec-Fetch-Site': site } }),
      ];
    };

    it.each(['cross-site', 'same-site'])('may not do anything from another site: %s', async (site) => {
      api = await startApi();
      for (const answer of send(site)) expect((await answer).status).toBe(403);
      expect((await api.get('/v1/node')).json.state).toBe('serving');
    });

    it.each(['same-origin', 'none'])('may do what others may when it is ours: %s', async (site) => {
      api = await startApi();
      const [edit, drain] = await Promise.all(send(site));
      // It has no picture.
      expect([edit?.status, drain?.status]).toEqual([400, 202]);
    });

    it.each([[[PAGE]], [['*']]])('may when it is of a configured origin: %s', async (corsOrigins) => {
      api = await startApi({ corsOrigins });
      const [edit, drain] = await Promise.all(send('cross-site'));
      expect([edit?.status, drain?.status]).toEqual([400, 202]);
    });
  });
});
