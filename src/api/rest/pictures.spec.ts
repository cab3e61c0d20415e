import { createHash } from 'node:crypto';

import type { RunningApi } from '../../../test/support/api.js';
import { PICTURE, startApi } from '../../../test/support/api.js';

const SHA256 = createHash('sha256').update(PICTURE).digest('hex');

describe('pictures', () => {
  let api: RunningApi;
  let id: string;
  beforeEach(async () => {
    api = await startApi();
    id = ((await api.post('/v1/jobs', { prompt: 'x' })).json as { id: string }).id;
  });
  afterEach(() => api.close());

  describe('GET /v1/jobs/{id}/artifacts/{index}', () => {
    it('gives the bytes, with their hash as the entity tag', async () => {
      await api.succeed(await api.claim());
      const answer = await api.get(`/v1/jobs/${id}/artifacts/0`);
      expect(answer.status).toBe(200);
      expect(answer.text).toBe(PICTURE.toString());
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        etag: `"${SHA256}"`,
        'content-type': 'image/png',
        'content-length': String(PICTURE.length),
        'content-disposition': `inline; filename="${id}-0.png"`,
        'cache-control': 'private, max-age=31536000, immutable',
        'x-content-type-options': 'nosniff',
      });
    });

    it('gives a picture of several megabytes whole', async () => {
      const picture = Buffer.alloc(5_000_000, 'safelight');
      await api.succeed(await api.claim(), picture);
      const response = await fetch(`${api.url}/v1/jobs/${id}/artifacts/0`);
      expect(Buffer.from(await response.arrayBuffer()).equals(picture)).toBe(true);
    });

    it('answers HEAD with the same headers and no bytes', async () => {
      await api.succeed(await api.claim());
      const answer = await api.request('HEAD', `/v1/jobs/${id}/artifacts/0`);
      expect(answer.status).toBe(200);
      expect(answer.text).toBe('');
      expect(answer.headers.get('content-length')).toBe(String(PICTURE.length));
    });

    it.each([`"${SHA256}"`, `W/"${SHA256}"`, `"other", "${SHA256}"`, '*'])(
      'answers 304 to If-None-Match %s',
      async (tag) => {
        await api.succeed(await api.claim());
        const answer = await api.get(`/v1/jobs/${id}/artifacts/0`, { 'If-None-Match': tag });
        expect([answer.status, answer.text]).toEqual([304, '']);
        expect(answer.headers.get('etag')).toBe(`"${SHA256}"`);
      },
    );

    it('gives the bytes to a client that has another version', async () => {
      await api.succeed(await api.claim());
      const answer = await api.get(`/v1/jobs/${id}/artifacts/0`, { 'If-None-Match': '"other"' });
      expect(answer.status).toBe(200);
    });

    it.each(['1', '-1', 'x', '00000', '0%2f..', '1e0'])('knows no artifact %s', async (index) => {
      await api.succeed(await api.claim());
      const answer = await api.get(`/v1/jobs/${id}/artifacts/${index}`);
      expect(answer.json).toMatchObject({ status: 404, code: 'artifact_not_found' });
    });

    it('knows no artifact of a job that has not finished', async () => {
      const answer = await api.get(`/v1/jobs/${id}/artifacts/0`);
      expect(answer.json).toMatchObject({ status: 404, code: 'artifact_not_found' });
    });
  });

  describe('GET /v1/jobs/{id}/preview', () => {
    const frame = (step: number) => ({ jobId: id, step, mediaType: 'image/jpeg', data: Buffer.from(`frame ${step}`) });

    it('gives the latest frame, once', async () => {
      await api.claim();
      api.events.publishPreview(frame(1));
      api.events.publishPreview(frame(2));
      const answer = await api.get(`/v1/jobs/${id}/preview`);
      expect([answer.status, answer.text]).toEqual([200, 'frame 2']);
      expect(answer.headers.get('content-type')).toBe('image/jpeg');
      const etag = answer.headers.get('etag') ?? '';
      expect((await api.get(`/v1/jobs/${id}/preview`, { 'If-None-Match': etag })).status).toBe(304);
      api.events.publishPreview(frame(3));
      expect((await api.get(`/v1/jobs/${id}/preview`, { 'If-None-Match': etag })).text).toBe('frame 3');
    });

    it('turns previews on by asking, and says that there is none yet', async () => {
      const answer = await api.get(`/v1/jobs/${id}/preview`);
      expect(answer.json).toMatchObject({ status: 404, code: 'preview_not_found' });
      expect(api.events.previewsWatched(id)).toBe(true);
    });

    it('does not watch a job that is over', async () => {
      await api.succeed(await api.claim());
      expect((await api.get(`/v1/jobs/${id}/preview`)).status).toBe(404);
      expect(api.events.previewsWatched(id)).toBe(false);
    });
  });
});
