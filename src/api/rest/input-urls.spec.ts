import { readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { PICTURES, pngHeader } from '../../../test/support/pictures.js';

const PNG = Buffer.from(PICTURES['a PNG'], 'base64');
const WEBP = Buffer.from(PICTURES['a lossy WebP'], 'base64');
const PNG_REF = { bytes: PNG.length, media_type: 'image/png', width: 23, height: 17 };

const MODEL = {
  capabilities: ['text_to_image', 'image_to_image', 'inpaint', 'controlnet'],
  controlnets: [{ id: 'canny', source: '/secret/canny' }],
};

describe('POST /v1/jobs with addresses of pictures', () => {
  let origin: Server;
  let port: number;
  let asked: string[];
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  let api: RunningApi;
  beforeEach(async () => {
    asked = [];
    answer = ({ url = '' }, response) => response.end(url.includes('webp') ? WEBP : PNG);
    origin = createServer((request, response) => {
      asked.push(request.url ?? '');
      answer(request, response);
    });
    await new Promise<void>((resolve) => origin.listen(0, '127.0.0.1', resolve));
    ({ port } = origin.address() as AddressInfo);
    api = await startApi({
      maxWaiting: 2,
      model: MODEL,
      inputs: { urlsEnabled: true, allowPrivateAddresses: true, allowedPorts: [port], timeoutMs: 10_000 },
    });
  });
  afterEach(async () => {
    await api.close();
    origin.closeAllConnections();
    await new Promise((resolve) => origin.close(resolve));
  });

  const urlOf = (path = '/cat.png') => `http://127.0.0.1:${port}${path}`;
  const folders = () => readdirSync(api.artifactsDir).filter((name) => !name.startsWith('.'));

  it('fetches each once and keeps what they led to, and of the addresses nothing', async () => {
    const url = urlOf('/cat.png?token=secret');
    const body = { prompt: 'x', init_image: url, mask_image: urlOf('/mask.webp') };
    const { status, json } = await api.post('/v1/jobs', body);
    expect(status).toBe(202);
    expect(json.request).toMatchObject({
      init_image: PNG_REF,
      mask_image: { media_type: 'image/webp' },
      strength: 0.8,
    });
    expect(asked.toSorted()).toEqual(['/cat.png?token=secret', '/mask.webp']);
    const stored = join(api.artifactsDir, json.id, 'inputs', `${json.request.init_image.sha256}.png`);
    expect(readFileSync(stored)).toEqual(PNG);
    expect(JSON.stringify(await api.store.get(json.id))).not.toMatch(/secret|127\.0\.0\.1/);
    const both = [{ prompt: 'x', init_image: url }].concat({ prompt: 'y', init_image: url });
    asked = [];
    await api.store.requestCancel(json.id, Date.now());
    expect((await api.post('/v1/jobs/batch', { requests: both })).status).toBe(202);
    expect(asked).toHaveLength(1);
  });

  it('takes pictures to follow by address, too', async () => {
    const controls = [{ id: 'canny', image: urlOf() }];
    const { status, json } = await api.post('/v1/jobs', { prompt: 'x', controls });
    expect(status).toBe(202);
    expect(json.request.controls).toMatchObject([{ id: 'canny', image: PNG_REF }]);
  });

  it('gives the same job to the same key and address without asking again, also when the picture is gone', async () => {
    const key = { 'Idempotency-Key': 'picture-1' };
    const first = await api.post('/v1/jobs', { prompt: 'x', init_image: urlOf() }, key);
    answer = (_, response) => response.writeHead(404).end();
    const again = await api.post('/v1/jobs', { prompt: 'x', init_image: urlOf() }, key);
    expect([first.status, again.status]).toEqual([202, 200]);
    expect(again.json.id).toBe(first.json.id);
    const other = await api.post('/v1/jobs', { prompt: 'x', init_image: urlOf('/cat.png?2') }, key);
    expect(other).toMatchObject({ status: 409, json: { code: 'idempotency_conflict' } });
    expect(asked).toEqual(['/cat.png']);
  });

  it('names the field whose address led to nothing, and accepts nothing', async () => {
    answer = ({ url = '' }, response) => {
      if (url.includes('huge')) response.end(pngHeader(8001, 8000));
      else if (url.includes('lost')) response.writeHead(404).end();
      else response.end(PNG);
    };
    const { status, json } = await api.post('/v1/jobs/batch', {
      requests: [
        { prompt: 'x', init_image: urlOf(), mask_image: urlOf('/lost?token=secret') },
        { prompt: 'y', controls: [{ id: 'canny', image: urlOf('/huge') }] },
      ],
    });
    expect(status).toBe(422);
    expect(json.errors).toEqual([
      {
        field: 'requests[0].mask_image',
        message: 'was answered with 404 by its host',
        value: urlOf('/lost?…'),
        limit: { status: 200 },
      },
      {
        field: 'requests[1].controls[0].image',
        message: expect.stringContaining('8001 × 8000'),
        value: urlOf('/huge'),
        limit: { max_pixels: 64_000_000 },
      },
    ]);
    expect(await api.countJobs()).toBe(0);
    expect(folders()).toEqual([]);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['an unknown model', { model: 'none' }, 'model'],
    ['a size that is none', { width: 65 }, 'width'],
    ['a field of the wrong type', { num_images: 'two' }, 'num_images'],
    ['an address beside that may not be asked', { mask_image: 'http://me:secret@127.0.0.1/' }, 'mask_image'],
  ])('asks for no picture beside %s', async (_, beside, field) => {
    const answered = await api.post('/v1/jobs', { prompt: 'x', init_image: urlOf(), ...beside });
    expect(answered.status).toBe(422);
    expect(answered.json.errors.map((error: { field: string }) => error.field)).toEqual([field]);
    expect(answered.text).not.toContain('secret');
    expect(asked).toEqual([]);
  });

  it('asks for no picture while the queue is full or the server takes nothing', async () => {
    for (const prompt of ['x', 'y']) await api.post('/v1/jobs', { prompt });
    const full = await api.post('/v1/jobs', { prompt: 'x', init_image: urlOf() });
    expect(full).toMatchObject({ status: 429, json: { code: 'queue_full' } });
    await api.post('/v1/node/drain', {});
    expect((await api.post('/v1/jobs', { prompt: 'x', init_image: urlOf() })).status).toBe(503);
    expect(asked).toEqual([]);
  });

  it('lets go of a fetch when the server stops taking work', async () => {
    const closed = new Promise<void>((resolve) => {
      answer = (_, response) => {
        response.on('close', resolve);
        void api.post('/v1/node/drain', {});
      };
    });
    expect((await api.post('/v1/jobs', { prompt: 'x', init_image: urlOf() })).status).toBe(503);
    await closed;
    expect(await api.countJobs()).toBe(0);
  });

  it('refuses all of them unless it is turned on, saying by which setting', async () => {
    const off = await startApi({ model: MODEL });
    const { status, json } = await off.post('/v1/jobs', {
      prompt: 'x',
      width: 65,
      init_image: urlOf('/cat.png?token=secret'),
    });
    expect(status).toBe(422);
    expect(json.errors).toContainEqual({
      field: 'init_image',
      message: expect.stringContaining('inputs.urls_enabled'),
      value: urlOf('/cat.png?…'),
      limit: { encoding: 'base64', setting: 'inputs.urls_enabled' },
    });
    expect(json.errors.map((error: { field: string }) => error.field).toSorted()).toEqual(['init_image', 'width']);
    expect(asked).toEqual([]);
    await off.close();
  });
});
