import type { RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';

const JSON_TYPE = { 'Content-Type': 'application/json' };
const SEED_LIMIT = { min: 0, max: '9223372036854775807' };

describe('bad input to POST /v1/jobs', () => {
  let api: RunningApi;
  beforeAll(async () => {
    api = await startApi();
  });
  afterEach(async () => {
    if ((await api.countJobs()) > 0) throw new Error('something was enqueued');
  });
  afterAll(() => api.close());

  // Each row: what is sent beside a good prompt, the field at fault, the value told back, the limit told.
  const fields: [string, string, string, unknown, unknown][] = [
    ['an unknown model', '"model": "sdxl"', 'model', 'sdxl', ['shapes']],
    ['a model that is no text', '"model": 5', 'model', 5, { type: 'string' }],
    [
      'a model of 10,000 characters',
      `"model": "${'m'.repeat(10_000)}"`,
      'model',
      expect.stringMatching(/^m{120}…/),
      { max: 200 },
    ],
    ['a size that is no multiple of 8', '"width": 65', 'width', 65, { multiple_of: 8 }],
    ['a fraction of a pixel', '"height": 64.5', 'height', 64.5, { multiple_of: 8 }],
    ['a size above the limit', '"height": 2048', 'height', 2048, { min: 64, max: 128 }],
    ['a size below zero', '"width": -64', 'width', -64, { min: 64, max: 128 }],
    ['a number as text', '"width": "64"', 'width', '64', { type: 'number' }],
    ['null', '"width": null', 'width', null, { type: 'number' }],
    ['an infinite number', '"width": 1e400', 'width', 'Infinity', { type: 'number' }],
    [
      'an integer beyond doubles',
      '"width": 99999999999999999999',
      'width',
      99999999999999999999n,
      { max: Number.MAX_SAFE_INTEGER },
    ],
    ['no steps', '"num_inference_steps": 0', 'num_inference_steps', 0, { min: 1, max: 150 }],
    ['too many steps', '"num_inference_steps": 151', 'num_inference_steps', 151, { min: 1, max: 150 }],
    ['half a step', '"num_inference_steps": 1.5', 'num_inference_steps', 1.5, { type: 'integer' }],
    ['guidance out of range', '"guidance_scale": 31', 'guidance_scale', 31, { min: 0, max: 30 }],
    ['no images', '"num_images": 0', 'num_images', 0, { min: 1, max: 16 }],
    ['too many images', '"num_images": 17', 'num_images', 17, { min: 1, max: 16 }],
    ['a seed below zero', '"seed": -1', 'seed', '-1', SEED_LIMIT],
    ['a seed of 2^63', '"seed": 9223372036854775808', 'seed', '9223372036854775808', SEED_LIMIT],
    ['a fractional seed', '"seed": 1.5', 'seed', 1.5, SEED_LIMIT],
    ['a seed in words', '"seed": "abc"', 'seed', 'abc', SEED_LIMIT],
    ['a seed that was rounded', '"seed": 1e18', 'seed', 10n ** 18n, SEED_LIMIT],
    ['an infinite seed', '"seed": 1e999', 'seed', 'Infinity', SEED_LIMIT],
    ['an empty seed', '"seed": ""', 'seed', '', SEED_LIMIT],
    ['a seed of many digits', `"seed": ${'9'.repeat(1000)}`, 'seed', 'Infinity', SEED_LIMIT],
    ['an unknown scheduler', '"scheduler": "Foo"', 'scheduler', 'Foo', expect.arrayContaining(['DDIMScheduler'])],
    ['a scheduler named like a method', '"scheduler": "constructor"', 'scheduler', 'constructor', expect.any(Array)],
    [
      'an unknown scheduler option',
      '"scheduler_options": {"foo": true}',
      'scheduler_options.foo',
      true,
      expect.arrayContaining(['use_karras_sigmas']),
    ],
    [
      'a bad value of a scheduler option',
      '"scheduler_options": {"solver_order": 9}',
      'scheduler_options.solver_order',
      9,
      'integer from 1 to 3',
    ],
    [
      'a nested scheduler option',
      '"scheduler_options": {"solver_order": {}}',
      'scheduler_options.solver_order',
      '{}',
      { type: ['boolean', 'number', 'string'] },
    ],
    ['scheduler options in a list', '"scheduler_options": []', 'scheduler_options', '[]', { type: 'object' }],
    ['an unknown priority', '"priority": "hihg"', 'priority', 'hihg', ['urgent', 'high', 'normal', 'low']],
    ['an unknown format', '"output_format": "gif"', 'output_format', 'gif', ['png', 'webp', 'jpeg', 'mp4']],
    ['a flag in words', '"exact": "true"', 'exact', 'true', { type: 'boolean' }],
    ['an unknown degradation', '"max_degradation": "some"', 'max_degradation', 'some', expect.any(Array)],
    [
      'a time in the past',
      '"start_by": "2020-01-01T00:00:00Z"',
      'start_by',
      '2020-01-01T00:00:00.000Z',
      { after: expect.any(String) },
    ],
    [
      'a time without an offset',
      '"start_by": "2100-01-01T00:00:00"',
      'start_by',
      '2100-01-01T00:00:00',
      { format: expect.any(String) },
    ],
    [
      'a day that is not',
      '"finish_by": "2100-02-30T00:00:00Z"',
      'finish_by',
      '2100-02-30T00:00:00Z',
      { format: expect.any(String) },
    ],
    ['a time as a number', '"finish_by": 4102444800', 'finish_by', 4102444800, { type: 'string' }],
    ['no time at all', '"time_budget_ms": 0', 'time_budget_ms', 0, { min: 1 }],
    ['a budget beyond a week', '"time_budget_ms": 604800001', 'time_budget_ms', 604800001, { max: 604800000 }],
    ['metadata in a list', '"metadata": ["x"]', 'metadata', '["x"]', { type: 'object' }],
    ['metadata that is no text', '"metadata": {"a": 5}', 'metadata.a', 5, { type: 'string' }],
    ['long metadata', `"metadata": {"a": "${'x'.repeat(513)}"}`, 'metadata.a', expect.any(String), { max: 512 }],
    [
      'a long key',
      `"metadata": {"${'k'.repeat(65)}": ""}`,
      'metadata',
      expect.any(String),
      { min_key_chars: 1, max_key_chars: 64 },
    ],
    [
      '17 keys',
      `"metadata": {${Array.from({ length: 17 }, (_, i) => `"k${i}": ""`).join()}}`,
      'metadata',
      expect.any(String),
      { max_entries: 16 },
    ],
    [
      'a webhook of another form',
      '"webhook": {"url": "https://example.org"}',
      'webhook',
      '{"url":"https://example.org"}',
      { type: 'string' },
    ],
    ['a webhook without a key', '"webhook": "https://example.org"', 'webhook', 'https://example.org', { absent: true }],
    ['an unknown field', '"foo": 1', 'foo', 1, expect.arrayContaining(['prompt'])],
    ['a field named like a method', '"toString": 1', 'toString', 1, expect.any(Array)],
    ['a prompt with NUL', String.raw`"negative_prompt": "a\u0000b"`, 'negative_prompt', 'a\0b', { no: 'U+0000' }],
    [
      'half a surrogate pair',
      String.raw`"negative_prompt": "\ud83d"`,
      'negative_prompt',
      '\ufffd',
      { encoding: 'UTF-8' },
    ],
  ];

  it.each(fields)('refuses %s', async (_name, json, field, value, limit) => {
    const answer = await api.request('POST', '/v1/jobs', { body: `{"prompt": "x", ${json}}`, headers: JSON_TYPE });
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(answer.json).toMatchObject({ status: 422, code: 'invalid_request', instance: '/v1/jobs' });
    expect(answer.json.errors).toContainEqual({ field, message: expect.any(String), value, limit });
    expect(answer.status).toBe(422);
  });

  it.each([
    ['an empty prompt', '', { min_chars: 1 }],
    ['a blank prompt', ' \n', { min_chars: 1 }],
    ['a prompt of 100 kB', 'x'.repeat(100_000), { max_chars: 10_000 }],
    ['a prompt with NUL', 'a\0b', { no: 'U+0000' }],
    ['no prompt', undefined, { type: 'string' }],
    ['a prompt that is a list', ['x'], { type: 'string' }],
    ['a prompt that is null', null, { type: 'string' }],
  ])('refuses %s', async (_name, prompt, limit) => {
    const answer = await api.post('/v1/jobs', { prompt });
    expect(answer.status).toBe(422);
    expect(answer.json.errors).toMatchObject([{ field: 'prompt', limit }]);
    expect(answer.text.length).toBeLessThan(1_000);
  });

  it('tells all mistakes at once, those of type and those of range', async () => {
    const { json } = await api.post('/v1/jobs', { prompt: '', width: '64', height: 65, widht: 64, steps: 5 });
    expect(json.errors).toMatchObject([
      { field: 'width', message: 'must be a number' },
      { field: 'widht', message: 'is not known; did you mean width?' },
      { field: 'steps', message: 'is not known; did you mean num_inference_steps?' },
      { field: 'height', message: 'must be a multiple of 8' },
      { field: 'prompt', message: 'must not be empty' },
    ]);
    expect(json.detail).toBe('cannot be accepted: width, widht, steps, height, prompt');
  });

  it('tells a bounded number of mistakes', async () => {
    const stray = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`stray${index}`, index]));
    const answer = await api.post('/v1/jobs', { prompt: 'x', ...stray });
    expect(answer.status).toBe(422);
    expect(answer.json.errors.length).toBeLessThanOrEqual(50);
    expect(answer.text.length).toBeLessThan(20_000);
  });

  it.each([
    ['nothing', '', 400, 'malformed_json', 'empty'],
    ['half an object', '{"prompt": ', 400, 'malformed_json', 'position 11'],
    ['a bare word', '{"prompt": x}', 400, 'malformed_json', '"x" at position 11 (line 1, column 12)'],
    ['a trailing comma', '{"prompt": "x",\n}', 400, 'malformed_json', '"}" at position 16 (line 2, column 1)'],
    ['NaN', '{"prompt": "x", "width": NaN}', 400, 'malformed_json', 'position 25'],
    ['a raw NUL', '{"prompt": "a\0b"}', 400, 'malformed_json', 'position 13'],
    ['two values', '{"prompt": "x"} {}', 400, 'malformed_json', 'position 16'],
    ['__proto__', '{"prompt": "x", "metadata": {"__proto__": {"x": 1}}}', 400, 'malformed_request', '__proto__'],
    ['100,000 levels', '['.repeat(100_000), 400, 'malformed_request', '64 levels'],
    ['a list', '[{"prompt": "x"}]', 422, 'invalid_request', 'body'],
    ['a text', '"prompt"', 422, 'invalid_request', 'body'],
    ['null', 'null', 422, 'invalid_request', 'body'],
    ['too much', `{"prompt": "${'x'.repeat(300_000)}"}`, 413, 'body_too_large', '262144'],
  ])('refuses %s as the body', async (_name, body, status, code, detail) => {
    const answer = await api.request('POST', '/v1/jobs', { body, headers: JSON_TYPE });
    expect(answer.json).toMatchObject({ status, code });
    expect(answer.json.detail).toContain(detail);
    expect(answer.status).toBe(status);
  });

  it('refuses bytes that are not UTF-8', async () => {
    const body = Buffer.concat([Buffer.from('{"prompt": "'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
    const answer = await api.request('POST', '/v1/jobs', { body, headers: JSON_TYPE });
    expect(answer.json).toMatchObject({ status: 400, code: 'malformed_request' });
  });

  it.each([
    [{ 'Content-Type': 'text/plain' }, 'text/plain'],
    [{ 'Content-Type': 'application/x-www-form-urlencoded' }, 'application/x-www-form-urlencoded'],
    [{ 'Content-Type': 'application/json; charset=latin1' }, 'latin1'],
    [{ 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }, 'gzip'],
  ])('refuses a body of the type %j', async (headers, named) => {
    const answer = await api.request('POST', '/v1/jobs', { body: '{"prompt": "x"}', headers });
    expect(answer.json).toMatchObject({ status: 415, code: 'unsupported_media_type' });
    expect(answer.json.detail).toContain(named);
  });

  it('lets the last of two equal keys count, and takes no harm from them', async () => {
    const body = '{"prompt": "x", "width": 64, "width": 65}';
    const answer = await api.request('POST', '/v1/jobs', { body, headers: JSON_TYPE });
    expect(answer.json.errors).toMatchObject([{ field: 'width', value: 65 }]);
  });

  it('answers a chunked body that is too large without waiting for its end', async () => {
    const chunk = new Uint8Array(64 * 1024).fill(0x20);
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent++ < 64) controller.enqueue(chunk);
        else controller.close();
      },
    });
    const init = { method: 'POST', body, headers: JSON_TYPE, duplex: 'half' };
    const response = await fetch(`${api.url}/v1/jobs`, init as RequestInit);
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ code: 'body_too_large' });
  });
});
