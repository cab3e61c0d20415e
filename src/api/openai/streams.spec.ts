import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { eventsOf, fail, finish, step } from '../../../test/support/openai.js';
import { PICTURES } from '../../../test/support/pictures.js';
import { eventually } from '../../../test/support/signals.js';

const ASKED = { prompt: 'a red circle', stream: true };
const PATH = '/v1/images/generations';
const SETTINGS = { background: 'opaque', quality: 'high', size: '64x64' };

describe('a stream of images', () => {
  let api: RunningApi;
  beforeEach(async () => {
    api = await startApi({ model: { capabilities: ['text_to_image', 'image_to_image'] } });
  });
  afterEach(() => api.close());

  /** Opens a stream; the answer begins once the job is accepted. */
  async function open(changes: object = {}) {
    const leave = new AbortController();
    const response = await fetch(api.url + PATH, {
      method: 'POST',
      body: JSON.stringify({ ...ASKED, ...changes }),
      headers: { 'Content-Type': 'application/json' },
      signal: leave.signal,
    });
    return { response, next: eventsOf(response), leave: () => leave.abort() };
  }
  function preview(jobId: string, at: number): string {
    const data = Buffer.from(`frame ${at}`);
    api.events.publishPreview({ jobId, step: at, mediaType: 'image/jpeg', data });
    return data.toString('base64');
  }

  it('begins at once, tells partial images on the way, and the picture with its usage last', async () => {
    const { response, next } = await open({ partial_images: 2 });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const claim = await api.claim();
    expect(response.headers.get('safelight-job-id')).toBe(claim.jobId);
    expect(api.events.previewsWatched(claim.jobId)).toBe(true);
    for (const at of [3, 7, 8, 15, 16]) {
      await step(api, claim, at, 20);
      const b64_json = preview(claim.jobId, at);
      if (at !== 7 && at !== 15) continue;
      expect(await next()).toEqual({
        event: 'image_generation.partial_image',
        data: {
          type: 'image_generation.partial_image',
          b64_json,
          partial_image_index: at === 7 ? 0 : 1,
          created_at: expect.any(Number),
          output_format: 'jpeg',
          ...SETTINGS,
        },
      });
    }
    const picture = Buffer.from('the picture');
    await finish(api, claim, [picture]);
    expect(await next()).toEqual({
      event: 'image_generation.completed',
      data: {
        type: 'image_generation.completed',
        b64_json: picture.toString('base64'),
        created_at: expect.any(Number),
        output_format: 'png',
        ...SETTINGS,
        usage: {
          input_tokens: 0,
          input_tokens_details: { text_tokens: 0, image_tokens: 0 },
          output_tokens: 0,
          total_tokens: 0,
        },
      },
    });
    expect(await next()).toBeNull();
  });

  it('watches no previews that nobody asked for', async () => {
    const { next } = await open();
    const claim = await api.claim();
    expect(api.events.previewsWatched(claim.jobId)).toBe(false);
    await finish(api, claim, [Buffer.from('x')]);
    expect((await next())?.event).toBe('image_generation.completed');
    expect(await next()).toBeNull();
  });

  it('tells each picture of several', async () => {
    const { next } = await open({ n: 3, response_format: 'url' });
    const claim = await api.claim();
    await finish(api, claim, [Buffer.from('a'), Buffer.from('b'), Buffer.from('c')]);
    for (const index of [0, 1, 2]) {
      const { event, data } = (await next()) ?? {};
      expect(event).toBe('image_generation.completed');
      expect(data.url).toBe(`${api.url}/v1/jobs/${claim.jobId}/artifacts/${index}`);
      expect(Buffer.from(data.b64_json, 'base64').toString()).toBe('abc'[index]);
    }
    expect(await next()).toBeNull();
  });

  it('is named after edits when it is of one', async () => {
    const body = new FormData();
    body.append('prompt', 'x');
    body.append('stream', 'true');
    body.append('partial_images', '1');
    body.append('image', new Blob([Buffer.from(PICTURES['a PNG'], 'base64')]), 'a.png');
    const next = eventsOf(await fetch(`${api.url}/v1/images/edits`, { method: 'POST', body }));
    const claim = await api.claim();
    preview(claim.jobId, 12);
    await finish(api, claim, [Buffer.from('x')]);
    expect((await next())?.data.type).toBe('image_edit.partial_image');
    expect((await next())?.data.type).toBe('image_edit.completed');
    expect(await next()).toBeNull();
  });

  it('ends with an error that names the job, when that fails', async () => {
    const { next } = await open({ partial_images: 1 });
    const claim = await api.claim();
    await fail(api, claim, 'rejected_output');
    const message = `job ${claim.jobId} failed: rejected_output: it was not to be`;
    expect(await next()).toEqual({
      event: 'error',
      data: { type: 'error', error: { message, type: 'server_error', param: null, code: 'rejected_output' } },
    });
    expect(await next()).toBeNull();
  });

  it('ends with an error when the picture cannot be read', async () => {
    const { next } = await open();
    const claim = await api.claim();
    api.putFile = () => Promise.resolve('lost');
    await finish(api, claim, [Buffer.from('x')]);
    expect((await next())?.data.error).toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(claim.jobId),
    });
    expect(await next()).toBeNull();
  });

  it('is refused as any other request is', async () => {
    const { status, headers, json } = await api.post(PATH, { ...ASKED, n: 11 });
    expect(status).toBe(400);
    expect(headers.get('content-type')).toMatch(/^application\/json/);
    expect(json).toMatchObject({ error: { param: 'n' } });
    expect(await api.countJobs()).toBe(0);
  });

  it.each([0, 1])('takes its job along when its client leaves, with %d partial images', async (partial_images) => {
    const { response, leave } = await open({ partial_images });
    const id = response.headers.get('safelight-job-id');
    leave();
    await eventually('cancelled', async () => (await api.get(`/v1/jobs/${id}`)).json.state === 'cancelled' || null);
    expect(api.events.previewsWatched(id ?? '')).toBe(false);
  });
});
