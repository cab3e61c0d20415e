import { join, resolve } from 'node:path';

import { execa } from 'execa';

import type { AnyJson } from '../support/api.js';
import { readPng } from '../support/png.js';
import { ServerProcess } from '../support/server-process.js';

const PYTHON = resolve('python-worker/.venv/bin/python');
const CLIENT = join('test', 'e2e', 'clients', 'a1111.py');

const CIRCLE = { prompt: 'a red circle', width: 64, height: 64, num_inference_steps: 4, seed: 7 };

describe('clients people have for other servers', () => {
  let server: ServerProcess;
  beforeAll(async () => {
    server = await ServerProcess.start({ embedded_model: true, models: [] });
    await server.workerPid();
  });
  afterAll(async () => {
    await server.stop();
    server.removeData();
  });

  it('the package webuiapi draws, watches, stops and reads its pictures', async () => {
    const { hostname, port } = new URL(server.url);
    const { stdout } = await execa(PYTHON, [CLIENT, hostname, port], { timeout: 100_000 });
    const seen: AnyJson = JSON.parse(stdout);

    expect(seen.lists).toMatchObject({
      models: ['shapes'],
      current: 'shapes',
      samplers: expect.arrayContaining(['DPM++ 2M', 'Euler a']),
      schedulers: expect.arrayContaining(['automatic', 'karras']),
      scripts: { txt2img: [], img2img: [] },
      memory: ['cuda', 'ram'],
    });
    expect(seen.options).toEqual({ same: true });
    expect(seen.text_to_image).toEqual({
      ...{
        sizes: [
          [64, 64],
          [64, 64],
        ],
        seeds: [7, 8],
        infotexts: true,
        seed_is_counted_up: true,
      },
      ...{ sampler: 'Euler a', parameters: 'Euler a' },
    });
    expect(seen.image_to_image).toEqual({ differ: true, strength: 0.75 });
    expect(seen.round_trip).toMatchObject({
      read: {
        ...{ Prompt: 'a red circle', 'Negative prompt': 'a dog, (blue:1.1)', Sampler: 'DPM++ 2M', Seed: '7' },
        ...{ 'Schedule type': 'Karras', 'Model hash': expect.stringMatching(/^[0-9a-f]{10}$/) },
      },
      same: true,
    });
    expect(seen.progress).toMatchObject({
      seen: { job: 'task(e2e)', job_count: 1, interrupted: false, sampling_steps: 150 },
      active: [true, false],
      completed: true,
      still_drawing: true,
      answers: { mine: { status: 200, images: 0 }, other: { status: 200, images: 1 } },
      idle: 0,
    });
    expect(seen.progress.progress).toBeGreaterThan(0);
    expect(seen.progress.other_job).not.toBe('task(e2e)');
    expect(seen.refusal).toEqual({ status: 422, detail: expect.stringMatching(/^enable_hr: /) });
  });

  it.each([
    ['/api/diffusers/inference', 'num_images_per_prompt'],
    ['/api/v1/content/generate', 'num_images'],
  ])('%s answers with pictures that can be fetched', async (path, count) => {
    const response = await server.post(path, { ...CIRCLE, [count]: 2 });
    expect(response.status).toBe(200);
    const answer = (await response.json()) as { response: string[] };
    expect(answer.response).toHaveLength(2);
    for (const url of answer.response) {
      expect(url.startsWith(`${server.url}/images/`)).toBe(true);
      const picture = await fetch(url);
      expect(picture.headers.get('content-type')).toBe('image/png');
      expect(readPng(Buffer.from(await picture.arrayBuffer()))).toMatchObject({ width: 64, height: 64 });
    }
  });
});
