import { join, resolve } from 'node:path';

import { execa } from 'execa';
import OpenAI, { APIConnectionTimeoutError, APIUserAbortError, BadRequestError, NotFoundError, toFile } from 'openai';

import type { AnyJson } from '../support/api.js';
import { pngOf, rgbaPngOf } from '../support/pictures.js';
import { readPng } from '../support/png.js';
import { ServerProcess } from '../support/server-process.js';
import { eventually } from '../support/signals.js';

const PYTHON = resolve('python-worker/.venv/bin/python');
const CLIENT = join('test', 'e2e', 'clients', 'openai_images.py');

/** White pictures: their colours would say the same. */
const OPAQUE = rgbaPngOf(64, 64, () => [255, 255, 255, 255]);
const TRANSPARENT = rgbaPngOf(64, 64, () => [255, 255, 255, 0]);
const SUNSET = pngOf(64, 64, (x, y) => [4 * y, 2 * x, 128]);

const CIRCLE = { model: 'shapes', prompt: 'a red circle', size: '64x64' } as const;

/** Parameters that OpenAI's API has not; its types let them through unnamed. */
const FEW_STEPS = { num_inference_steps: 4, guidance_scale: 5, seed: 7 };

/** As long as the server lets it be, so that it is still there when it is given up. */
const LONG = { ...CIRCLE, size: '256x256', n: 2, num_inference_steps: 150 } as const;

/** The same, of which something is to be seen before. */
const SLOW = { ...CIRCLE, size: '128x128', num_inference_steps: 150 } as const;

const SOME_STEPS = { ...FEW_STEPS, num_inference_steps: 60 };

interface JobList {
  readonly data: readonly { id: string; state: string; request: Record<string, unknown> }[];
}

describe('the stock clients of OpenAI', () => {
  let server: ServerProcess;
  let client: OpenAI;
  beforeAll(async () => {
    const source = resolve('python-worker/models/shapes');
    const models = [{ id: 'shapes', source, aliases: ['dall-e-3'] }];
    server = await ServerProcess.start({ models, workers: { preview_interval_ms: 20 } });
    await server.workerPid();
    client = new OpenAI({
      baseURL: `${server.url}/v1`,
      apiKey: 'unused',
      maxRetries: 0,
      timeout: 60_000,
      fetch: ownFetch,
    });
  });
  afterAll(async () => {
    await server.stop();
    server.removeData();
  });

  const pixels = (b64: string | undefined) => readPng(Buffer.from(b64 ?? '', 'base64')).pixels;
  const jobs = async (query = '') => (await server.get<JobList>(`/v1/jobs?limit=100${query}`)).data;
  /** Resolves when as many jobs as these were cancelled, and no other is left. */
  const cancelled = (count: number) =>
    eventually('what nobody waits for is cancelled', async () => {
      const left = await jobs('&state=queued,running,scheduled');
      return left.length === 0 && (await jobs('&state=cancelled')).length === count ? count : null;
    });

  it('list models, and read one', async () => {
    const listed = await all(client.models.list());
    expect(listed).toEqual([expect.objectContaining({ id: 'shapes', object: 'model', owned_by: 'safelight' })]);
    expect(await client.models.retrieve('shapes')).toMatchObject({ id: 'shapes', capabilities: expect.any(Array) });
    expect(await client.models.retrieve('dall-e-3')).toMatchObject({ id: 'shapes', aliases: ['dall-e-3'] });
    await expect(client.models.retrieve('gpt-image-1')).rejects.toThrow(NotFoundError);
  });

  it('generate pictures, the same from the same seed', async () => {
    const { data, response } = await client.images.generate({ ...CIRCLE, ...FEW_STEPS, n: 2 }).withResponse();
    const [first, second] = (data.data ?? []).map(({ b64_json }) => pixels(b64_json));
    expect([first?.length, second?.length]).toEqual([64 * 64 * 3, 64 * 64 * 3]);
    expect(first).not.toEqual(second);
    const fetched = await fetch(data.data?.[1]?.url ?? '');
    expect(readPng(Buffer.from(await fetched.arrayBuffer())).pixels).toEqual(second);
    const job = await server.job(response.headers.get('safelight-job-id') ?? '');
    expect(job).toMatchObject({ state: 'succeeded', request: { num_images: 2, seed: 7, num_inference_steps: 4 } });
    const again = await client.images.generate({ ...CIRCLE, ...FEW_STEPS, n: 2, response_format: 'b64_json' });
    expect(again.data?.map(({ b64_json }) => pixels(b64_json))).toEqual([first, second]);
  });

  it('name a model by another name it was given, and by no other', async () => {
    const { data } = await client.images.generate({ ...CIRCLE, ...FEW_STEPS, model: 'dall-e-3', quality: 'hd' });
    expect(pixels(data?.[0]?.b64_json)).toHaveLength(64 * 64 * 3);
    const refused = client.images.generate({ ...CIRCLE, model: 'dall-e-2' });
    await expect(refused).rejects.toMatchObject({ status: 400, param: 'model', code: 'model_not_found' });
  });

  it('edit a picture, and paint anew where the mask is transparent, and nowhere else', async () => {
    const image = () => toFile(SUNSET, 'sunset.png', { type: 'image/png' });
    const edited = async (prompt: string, mask?: Buffer) => {
      const masked = mask && { mask: await toFile(mask, 'mask.png', { type: 'image/png' }) };
      const { data } = await client.images.edit({ ...CIRCLE, ...FEW_STEPS, prompt, image: [await image()], ...masked });
      return pixels(data?.[0]?.b64_json);
    };
    const [circle, square] = ['a red circle', 'a blue square'];
    expect(await edited(circle)).not.toEqual(await edited(square));
    expect(await edited(circle, OPAQUE)).toEqual(await edited(square, OPAQUE));
    expect(await edited(circle, TRANSPARENT)).not.toEqual(await edited(square, TRANSPARENT));
  });

  it('stream partial images, then the picture', async () => {
    const events = await client.images.generate({ ...CIRCLE, ...SOME_STEPS, stream: true, partial_images: 2 });
    const told = await all(events);
    const last = told.pop();
    expect(told.map((event) => 'partial_image_index' in event && event.partial_image_index)).toEqual(
      told.map((_, index) => index),
    );
    expect([1, 2]).toContain(told.length);
    expect(Buffer.from(told[0]?.b64_json ?? '', 'base64').subarray(0, 2)).toEqual(Buffer.from([0xff, 0xd8]));
    expect(last).toMatchObject({ type: 'image_generation.completed', size: '64x64', usage: { total_tokens: 0 } });
    expect(pixels(last?.b64_json)).toHaveLength(64 * 64 * 3);
  });

  it('are told what they may not ask for, in classes of their own', async () => {
    const before = (await jobs()).length;
    const refused = [{ size: '1024x1024' }, { quality: 'ultra' as 'low' }, { background: 'transparent' as const }];
    for (const changes of refused) {
      const error: unknown = await client.images.generate({ ...CIRCLE, ...changes }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(BadRequestError);
      expect(error).toMatchObject({ param: Object.keys(changes)[0], type: 'invalid_request_error' });
    }
    expect(await jobs()).toHaveLength(before);
  });

  it('take their jobs along when they time out, give up or leave a stream', async () => {
    await expect(client.images.generate(LONG, { timeout: 300 })).rejects.toThrow(APIConnectionTimeoutError);
    const signal = AbortSignal.timeout(300);
    await expect(client.images.generate(LONG, { signal })).rejects.toThrow(APIUserAbortError);
    for await (const event of await client.images.generate({ ...SLOW, stream: true, partial_images: 3 })) {
      expect(event.type).toBe('image_generation.partial_image');
      break;
    }
    await cancelled(3);
  });

  it('do all of it from Python too', async () => {
    const { stdout } = await execa(PYTHON, [CLIENT, `${server.url}/v1`], { timeout: 100_000 });
    const seen: AnyJson = JSON.parse(stdout);
    expect(seen.models).toEqual({
      ids: ['shapes'],
      object: 'model',
      created: true,
      missing: ['model_not_found', 404],
    });
    expect(seen.generate).toEqual({
      sizes: [
        [64, 64],
        [64, 64],
      ],
      size: '64x64',
      quality: 'low',
      same_by_url: true,
      seed_is_counted_up: true,
      members: [null, 'a red circle'],
      usage: 0,
      webp: 'WEBP',
    });
    expect(seen.edit).toMatchObject({ size: [64, 64], changed_more_than_kept: true });
    expect(seen.edit.left).toBeGreaterThan(10 * seen.edit.right);
    const { types } = seen.stream;
    expect(types.at(-1)).toBe('image_generation.completed');
    expect(seen.stream).toMatchObject({ picture: [64, 64], usage: 0, edit: 'image_edit.completed' });
    expect(seen.stream.indices).toEqual([0, 1].slice(0, types.length - 1));
    expect(types.length).toBeGreaterThan(1);
    expect(seen.error).toEqual({
      size: ['size', 'invalid_value', 'invalid_request_error'],
      model: ['model', 'model_not_found', 'invalid_request_error'],
      quality: ['quality', 'invalid_value', 'invalid_request_error'],
    });
    expect([seen.timeout, seen.left]).toEqual(['timed out', 'image_generation.partial_image']);
    await cancelled(5);
  });
});

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** Errors of fetch are no errors to the client inside of Jest, where `Error` is another one; it knows a timeout by its name. */
const ownFetch: typeof fetch = async (...args) => {
  try {
    return await fetch(...args);
  } catch (error) {
    const { name, message } = error as Error;
    throw Object.assign(new Error(message), { name });
  }
};
