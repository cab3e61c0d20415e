import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { PICTURES, pngHeader } from '../../../test/support/pictures.js';

const MEBIBYTE = 1024 * 1024;
const PNG = PICTURES['a PNG'];
const REF = { bytes: Buffer.from(PNG, 'base64').length, media_type: 'image/png', width: 23, height: 17 };
const FORM = { encoding: expect.stringContaining('base64'), max_bytes: 20 * MEBIBYTE };

describe('POST /v1/jobs with pictures', () => {
  let api: RunningApi;
  beforeEach(async () => {
    api = await startApi({
      bodyLimitBytes: 1024,
      maxBodyBytes: 30 * MEBIBYTE,
      model: {
        capabilities: ['text_to_image', 'image_to_image', 'inpaint', 'controlnet', 'lora'],
        loras: [{ id: 'ink', source: '/secret/ink.safetensors' }],
        controlnets: [{ id: 'canny', source: '/secret/canny' }],
      },
    });
  });
  afterEach(() => api.close());

  const folders = () => readdirSync(api.artifactsDir).filter((name) => !name.startsWith('.'));

  it.each([
    ['plain base64', PNG],
    ['base64 in lines', PNG.replaceAll(/.{76}/g, '$&\r\n')],
    ['base64 without padding', PNG.replace(/=+$/, '')],
    ['a data: URL', `data:image/png;base64,${PNG}`],
    ['a data: URL that mistakes its type', `data:image/gif;charset=x;base64,${PNG}`],
  ])('takes %s, keeps the bytes and shows what they are', async (_, init_image) => {
    const { status, text, json } = await api.post('/v1/jobs', { prompt: 'x', init_image });
    expect(status).toBe(202);
    expect(json.request).toMatchObject({ init_image: REF, strength: 0.8 });
    expect(text).not.toContain(PNG.slice(0, 40));
    const stored = join(api.artifactsDir, json.id, 'inputs', `${json.request.init_image.sha256}.png`);
    expect(readFileSync(stored).toString('base64')).toBe(PNG);
    expect((await api.get(`/v1/jobs/${json.id}`)).json.request).toEqual(json.request);
  });

  it('carries every field to the resolved request, with references for pictures', async () => {
    const { status, json } = await api.post('/v1/jobs', {
      prompt: 'x',
      init_image: PNG,
      mask_image: PNG,
      strength: 0.35,
      loras: [{ id: 'ink', weight: -1.5 }],
    });
    expect(status).toBe(202);
    expect(json.request).toMatchObject({
      init_image: REF,
      mask_image: REF,
      strength: 0.35,
      loras: [{ id: 'ink', weight: -1.5 }],
    });
    const controls = [{ id: 'canny', image: PNG, scale: 0.5, start: 0.1, end: 0.9 }];
    const followed = await api.post('/v1/jobs', { prompt: 'x', controls });
    expect(followed.status).toBe(202);
    expect(followed.json.request.controls).toMatchObject([{ ...controls[0], image: REF }]);
  });

  it('gives the same job to the same key and picture, however it is written', async () => {
    const key = { 'Idempotency-Key': 'picture-1' };
    const first = await api.post('/v1/jobs', { prompt: 'x', init_image: PNG }, key);
    const again = await api.post('/v1/jobs', { prompt: 'x', init_image: `data:image/png;base64,${PNG}` }, key);
    expect([first.status, again.status]).toEqual([202, 200]);
    expect(again.json.id).toBe(first.json.id);
    const other = await api.post('/v1/jobs', { prompt: 'x', init_image: PICTURES['a lossless WebP'] }, key);
    expect(other).toMatchObject({ status: 409, json: { code: 'idempotency_conflict' } });
    expect(folders()).toEqual([first.json.id]);
  });

  it.each([
    [
      'an address',
      'https://example.org/cat.png',
      'https://example.org/cat.png',
      { encoding: 'base64', setting: 'inputs.urls_enabled' },
    ],
    ['an address of a file', 'file:///etc/passwd', 'file:///etc/passwd', FORM],
    ['a data: URL that is not base64', 'data:image/png,%89PNG', 'data:image/png,%89PNG', FORM],
    ['words', 'a red circle!', 'a red circle!', FORM],
    ['base64 with a character that is none', `${PNG.slice(0, 40)}*${PNG.slice(41)}`, expect.any(String), FORM],
    ['nothing', '', '', FORM],
    ['a number', 5, 5, { type: 'string' }],
    ['null', null, null, { type: 'string' }],
    [
      'a GIF',
      btoa('GIF89a and so on'),
      '{"bytes":16,"begins_with_hex":"4749463839612061"}',
      { media_types: expect.any(Array) },
    ],
    [
      'too many pixels',
      pngHeader(8001, 8000).toString('base64'),
      '{"width":8001,"height":8000}',
      { max_pixels: 64_000_000 },
    ],
    [
      'too many bytes',
      'A'.repeat(29.5 * MEBIBYTE),
      expect.stringMatching(/^A{120}… \(\d+ characters\)$/),
      { max_bytes: 20 * MEBIBYTE },
    ],
  ])('refuses %s, naming field, value and limit', async (_, init_image, value, limit) => {
    const answer = await api.post('/v1/jobs', { prompt: 'x', init_image });
    expect(answer.status).toBe(422);
    expect(answer.json.errors).toEqual([{ field: 'init_image', message: expect.any(String), value, limit }]);
    expect(await api.countJobs()).toBe(0);
    expect(folders()).toEqual([]);
  });

  it('tells all problems at once, also beside a picture that cannot be read', async () => {
    const { json } = await api.post('/v1/jobs', {
      prompt: 'x',
      width: 65,
      init_image: 'https://example.org/cat.png',
      strength: 0.5,
      controls: [
        { id: 'canny', image: '!' },
        { image: PNG, wieght: 1 },
      ],
      loras: [{ id: 'none' }],
    });
    const told = Object.fromEntries(
      json.errors.map((error: { field: string; message: string }) => [error.field, error.message]),
    );
    expect(Object.keys(told).toSorted()).toEqual(
      ['controls[0].image', 'controls[1].id', 'controls[1]', 'init_image', 'loras[0].id', 'width'].toSorted(),
    );
    expect(told['controls[1]']).toContain('wieght');
  });

  it('has a larger bound for submissions than for anything else', async () => {
    const big = 'x'.repeat(2000);
    expect((await api.post('/v1/jobs', { prompt: big })).status).toBe(202);
    expect((await api.post('/v1/jobs/batch?x=1', { requests: [{ prompt: big }] })).status).toBe(202);
    const id = (await api.get('/v1/jobs')).json.data[0].id;
    const other = await api.post(`/v1/jobs/${id}/cancel`, { reason: big });
    expect(other).toMatchObject({ status: 413, json: { errors: [{ limit: { max_bytes: 1024 } }] } });
    const larger = await api.post('/v1/jobs', { prompt: 'x', init_image: 'A'.repeat(31 * MEBIBYTE) });
    expect(larger).toMatchObject({ status: 413, json: { errors: [{ limit: { max_bytes: 30 * MEBIBYTE } }] } });
  });

  it('shows what the model offers, and not where it lies', async () => {
    const { text, json } = await api.get('/v1/models');
    expect(json.data).toMatchObject([{ loras: ['ink'], controlnets: ['canny'], ip_adapters: [] }]);
    expect(json.data[0].capabilities).toContain('inpaint');
    expect(text).not.toContain('/secret');
  });
});
