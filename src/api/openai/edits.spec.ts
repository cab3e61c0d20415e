import { request as rawRequest } from 'node:http';

import type { ApiAnswer, RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { finish } from '../../../test/support/openai.js';
import { PICTURES, pngOf } from '../../../test/support/pictures.js';
import { eventually } from '../../../test/support/signals.js';

const MEBIBYTE = 1024 * 1024;
const PATH = '/v1/images/edits';
const PNG = Buffer.from(PICTURES['a PNG'], 'base64');
const WEBP = Buffer.from(PICTURES['a WebP with transparency'], 'base64');
const DRAWN = Buffer.from('a picture');

type Part = readonly [name: string, value: string | Buffer];

function form(...parts: readonly Part[]): FormData {
  const data = new FormData();
  for (const [name, value] of parts) {
    if (typeof value === 'string') data.append(name, value);
    else data.append(name, new Blob([new Uint8Array(value)], { type: 'image/png' }), `${name}.png`);
  }
  return data;
}

const PROMPT: Part = ['prompt', 'a red circle'];
const IMAGE: Part = ['image', PNG];

describe('POST /v1/images/edits', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi({
      bodyLimitBytes: 1024,
      maxBodyBytes: 30 * MEBIBYTE,
      model: { capabilities: ['text_to_image', 'image_to_image', 'inpaint'] },
    });
  });
  afterAll(() => api.close());

  const claimed = () => eventually('a job is there', () => api.claim().catch(() => null), 5_000);

  async function edited(...parts: readonly Part[]) {
    const answering = api.request('POST', PATH, { body: form(...parts) });
    const claim = await claimed();
    const request = (await api.store.get(claim.jobId))?.request;
    await finish(api, claim, [DRAWN]);
    return { answer: await answering, request };
  }

  it.each(['image', 'image[]'])('takes a picture as %s, and answers as generations do', async (name) => {
    const { answer, request } = await edited(PROMPT, [name, PNG]);
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({
      output_format: 'png',
      data: [
        { b64_json: DRAWN.toString('base64'), url: expect.stringContaining(api.url), revised_prompt: 'a red circle' },
      ],
      usage: { total_tokens: 0 },
    });
    expect(request).toMatchObject({ init_image: { width: 23, height: 17, bytes: PNG.length }, strength: 0.8 });
    expect(request).not.toHaveProperty('mask_image');
  });

  it('paints anew where the mask is transparent, with nothing kept of what was there', async () => {
    const { request } = await edited(['mask', WEBP], IMAGE, PROMPT);
    expect(request).toMatchObject({
      mask_image: { media_type: 'image/webp', bytes: WEBP.length },
      mask_transparency: 'painted',
      strength: 1,
    });
  });

  it('takes every parameter, in the words of a form', async () => {
    const { request } = await edited(
      PROMPT,
      IMAGE,
      ['mask', PNG],
      ['model', 'shapes'],
      ['n', '2'],
      ['size', '128x64'],
      ['quality', 'high'],
      ['background', 'auto'],
      ['input_fidelity', 'high'],
      ['output_format', 'jpeg'],
      ['output_compression', '0'],
      ['stream', 'False'],
      ['partial_images', '0'],
      ['user', 'null'],
      ['safety_identifier', 'ada'],
      ['seed', '9007199254740993'],
      ['num_inference_steps', '7'],
      ['guidance_scale', '2.5'],
      ['negative_prompt', ''],
      ['strength', '.5'],
      ['priority', 'low'],
      ['response_format', ''],
    );
    expect(request).toMatchObject({
      model: 'shapes',
      num_images: 2,
      width: 128,
      height: 64,
      output_format: 'jpeg',
      output_quality: 1,
      seed: '9007199254740993',
      num_inference_steps: 7,
      guidance_scale: 2.5,
      strength: 0.5,
      priority: 'low',
      metadata: { user: 'ada' },
    });
  });

  it('honours extra_body where a client sends it as it is', async () => {
    const { request } = await edited(PROMPT, IMAGE, ['extra_body[seed]', '5'], ['extra_body[strength]', '0.3']);
    expect(request).toMatchObject({ seed: '5', strength: 0.3 });
  });

  it.each<[string, readonly Part[]]>([
    ['no size', []],
    ['size auto', [['size', 'auto']]],
  ])('keeps the proportions of the picture when it is asked for %s', async (_, more) => {
    const wide = pngOf(120, 40, () => [1, 2, 3]);
    const { request } = await edited(PROMPT, ['image', wide], ...more);
    expect(request).toMatchObject({ width: 112, height: 64 });
  });

  it('takes a picture that stands in the form as text', async () => {
    const { request } = await edited(PROMPT, ['image', `data:image/png;base64,${PICTURES['a PNG']}`]);
    expect(request).toMatchObject({ init_image: { bytes: PNG.length } });
  });

  const refused = async (answer: ApiAnswer, status: number, param: string | null, code: string, jobs: number) => {
    expect(answer.json).toEqual({ error: { message: expect.any(String), type: expect.any(String), param, code } });
    expect(answer.status).toBe(status);
    expect(await api.countJobs()).toBe(jobs);
  };

  it.each<[string, readonly Part[], string, string]>([
    ['no picture', [PROMPT], 'image', 'missing_required_parameter'],
    ['no prompt', [IMAGE], 'prompt', 'missing_required_parameter'],
    ['two pictures', [PROMPT, ['image[]', PNG], ['image[]', WEBP]], 'image', 'invalid_value'],
    ['two pictures under both names', [PROMPT, IMAGE, ['image[]', WEBP]], 'image', 'invalid_value'],
    ['two masks', [PROMPT, IMAGE, ['mask', PNG], ['mask', PNG]], 'mask', 'invalid_value'],
    ['a picture that is none', [PROMPT, ['image', Buffer.from('GIF89a')]], 'image', 'invalid_value'],
    ['an empty picture', [PROMPT, ['image', Buffer.alloc(0)]], 'image', 'invalid_value'],
    ['a mask that is none', [PROMPT, IMAGE, ['mask', Buffer.from('GIF89a')]], 'mask', 'invalid_value'],
    ['an address, which is not fetched', [PROMPT, ['image', 'http://127.0.0.1/cat.png']], 'image', 'invalid_value'],
    ['a file that is not asked for', [PROMPT, IMAGE, ['markup', PNG]], 'markup', 'unknown_parameter'],
    ['a text that is not asked for', [PROMPT, IMAGE, ['svg[model]', 'x']], 'svg', 'unknown_parameter'],
    ['a number that is none', [PROMPT, IMAGE, ['n', 'two']], 'n', 'invalid_value'],
    ['half a picture', [PROMPT, IMAGE, ['n', '1.5']], 'n', 'invalid_value'],
    ['a number twice', [PROMPT, IMAGE, ['n', '1'], ['n', '2']], 'n', 'invalid_value'],
    ['a stream that may be', [PROMPT, IMAGE, ['stream', 'maybe']], 'stream', 'invalid_value'],
    ['a strength beyond its range', [PROMPT, IMAGE, ['strength', '1.5']], 'strength', 'invalid_value'],
    ['a model that is not served', [PROMPT, IMAGE, ['model', 'gpt-image-1']], 'model', 'model_not_found'],
    ['a size no model draws', [PROMPT, IMAGE, ['size', '1024x1024']], 'size', 'invalid_value'],
  ])('refuses %s before any work', async (_, parts, param, code) => {
    const jobs = await api.countJobs();
    await refused(await api.request('POST', PATH, { body: form(...parts) }), 400, param, code, jobs);
  });

  it.each([
    ['JSON', 'application/json', '{"prompt":"x"}', 415, 'unsupported_media_type'],
    ['a form without files', 'application/x-www-form-urlencoded', 'prompt=x', 415, 'unsupported_media_type'],
    ['a form without a boundary', 'multipart/form-data', 'prompt=x', 400, 'malformed_request'],
    [
      'a form that ends early',
      'multipart/form-data; boundary=x',
      '--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na',
      400,
      'malformed_request',
    ],
    [
      'a part without a name',
      'multipart/form-data; boundary=x',
      '--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n',
      400,
      'malformed_request',
    ],
    ['a form of something else', 'multipart/form-data; boundary=x', 'hello', 400, 'malformed_request'],
  ])('refuses %s', async (_, type, body, status, code) => {
    const answer = await api.request('POST', PATH, { body, headers: { 'Content-Type': type } });
    expect(answer).toMatchObject({ status, json: { error: { code } } });
  });

  it('refuses a form of too many parts, or of names that nest', async () => {
    const many = Array.from({ length: 80 }, (_, index): Part => [`field${index}`, 'x']);
    const nested: Part = ['a[b][c]', 'x'];
    for (const parts of [many, [nested]]) {
      const answer = await api.request('POST', PATH, { body: form(PROMPT, IMAGE, ...parts) });
      expect(answer).toMatchObject({ status: 400, json: { error: { code: 'malformed_request' } } });
    }
  });

  it('refuses a file that is too large, by its name', async () => {
    const jobs = await api.countJobs();
    const body = form(PROMPT, ['image', Buffer.alloc(20 * MEBIBYTE + 1)]);
    await refused(await api.request('POST', PATH, { body }), 413, 'image', 'body_too_large', jobs);
  });

  it('refuses a form that says it is too large before it is read', async () => {
    const head = { 'Content-Type': 'multipart/form-data; boundary=x', 'Content-Length': String(31 * MEBIBYTE) };
    const sending = rawRequest(api.url + PATH, { method: 'POST', headers: head });
    sending.flushHeaders();
    const answer = await new Promise((resolve) => sending.once('response', ({ statusCode }) => resolve(statusCode)));
    sending.on('error', () => undefined).destroy();
    expect(answer).toBe(413);
  });

  it('stops reading a form that turns out to be too large', async () => {
    const jobs = await api.countJobs();
    const head = '--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n';
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(Buffer.from(head)),
      pull: (controller) => controller.enqueue(Buffer.alloc(MEBIBYTE, 'a')),
    }).pipeThrough(limited(31 * MEBIBYTE));
    const headers = { 'Content-Type': 'multipart/form-data; boundary=x' };
    const response = await fetch(api.url + PATH, { method: 'POST', body, headers, duplex: 'half' });
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ error: { code: 'body_too_large', param: null } });
    expect(await api.countJobs()).toBe(jobs);
  });

  it('outlives a client that breaks off in the middle', async () => {
    const headers = { 'Content-Type': 'multipart/form-data; boundary=x', 'Content-Length': '5000' };
    const sending = rawRequest(api.url + PATH, { method: 'POST', headers });
    const closed = new Promise((resolve) => sending.on('error', () => undefined).once('close', resolve));
    sending.write('--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\nhalf');
    await new Promise((resolve) => sending.once('socket', (socket) => socket.once('connect', resolve)));
    sending.destroy();
    await closed;
    expect((await edited(PROMPT, IMAGE)).answer.status).toBe(200);
  });
});

/** Passes this many bytes and ends. */
function limited(bytes: number): TransformStream<Uint8Array, Uint8Array> {
  let passed = 0;
  return new TransformStream({
    transform(chunk, controller) {
      controller.enqueue(chunk);
      passed += chunk.length;
      if (passed >= bytes) controller.terminate();
    },
  });
}

describe('POST /v1/images/edits with a model that draws from text alone', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi({ model: { capabilities: ['text_to_image'] } });
  });
  afterAll(() => api.close());

  it.each<[string, readonly Part[]]>([
    ['image', [PROMPT, IMAGE]],
    ['mask', [PROMPT, IMAGE, ['mask', PNG]]],
  ])('refuses the %s', async (param, parts) => {
    const answer = await api.request('POST', PATH, { body: form(...parts) });
    expect(answer).toMatchObject({ status: 400, json: { error: { param, code: 'invalid_value' } } });
    expect(await api.countJobs()).toBe(0);
  });
});
