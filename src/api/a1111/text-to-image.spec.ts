import type { AnyJson, RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { CAPABLE, claimed, made } from '../../../test/support/made.js';
import { pngOf } from '../../../test/support/pictures.js';
import { attemptRecord } from '../../../test/support/jobs.js';
import { readPng } from '../../../test/support/png.js';
import { eventually } from '../../../test/support/signals.js';
import { seedsOf } from '../../domain/generation/generation-request.js';
import { pngTexts } from '../../png/texts.js';

const PNG = pngOf(64, 64, (x, y) => [x, y, 128]);
const BASE64 = PNG.toString('base64');

let api: RunningApi;
afterEach(() => api.close());

const make = (path: string, body: unknown) => made(api, path, body, { picture: PNG });

describe('txt2img', () => {
  beforeEach(async () => {
    api = await startApi({ model: CAPABLE });
  });

  it('answers with the picture, the parameters and what was made', async () => {
    const { answer } = await make('/sdapi/v1/txt2img', {
      prompt: 'a circle',
      negative_prompt: 'a dog',
      seed: 7,
      steps: 5,
    });
    expect(answer.status).toBe(200);
    const { images, parameters, info } = answer.json;
    expect(Object.keys(answer.json)).toEqual(['images', 'parameters', 'info']);
    const png = Buffer.from(images[0], 'base64');
    expect(readPng(png).pixels).toEqual(readPng(PNG).pixels);
    expect(parameters).toMatchObject({ prompt: 'a circle', seed: 7, steps: 5, width: 64, sampler_name: 'DPM++ 2M' });
    const told = JSON.parse(info);
    expect(told).toMatchObject({
      prompt: 'a circle',
      all_prompts: ['a circle'],
      negative_prompt: 'a dog',
      seed: 7,
      all_seeds: [7],
      subseed: -1,
      all_subseeds: [-1],
      width: 64,
      height: 64,
      sampler_name: 'DPM++ 2M',
      cfg_scale: 7.5,
      steps: 5,
      batch_size: 1,
      sd_model_name: 'shapes',
      sd_model_hash: null,
      sd_vae_name: null,
      index_of_first_image: 0,
      clip_skip: 1,
    });
    expect(told.infotexts).toEqual([pngTexts(png).get('parameters')]);
    expect(told.infotexts[0]).toContain('Seed: 7, Size: 64x64');
  });

  it('carries the fields over to a job like any other', async () => {
    const { request } = await make('/sdapi/v1/txt2img', {
      prompt: 'a circle <lora:ink:0.8>',
      seed: '9223372036854775800',
      batch_size: 2,
      n_iter: 3,
      steps: '9',
      cfg_scale: 4,
      width: 72,
      height: 80.0,
      sampler_name: 'Euler a',
      scheduler: 'automatic',
      force_task_id: 'task(mine)',
      alwayson_scripts: {
        ControlNet: {
          args: [{ image: BASE64, model: 'canny [ab12]', weight: 0.5, guidance_end: 0.8 }, { enabled: false }],
        },
        ADetailer: { args: [false] },
      },
      field_of_some_extension: 3,
    });
    expect(request).toMatchObject({
      prompt: 'a circle',
      loras: [{ id: 'ink', weight: 0.8 }],
      seed: '9223372036854775800',
      num_images: 6,
      num_inference_steps: 9,
      guidance_scale: 4,
      width: 72,
      height: 80,
      scheduler: 'EulerAncestralDiscreteScheduler',
      controls: [{ id: 'canny', scale: 0.5, start: 0, end: 0.8 }],
      metadata: { a1111_task: 'task(mine)' },
      output_format: 'png',
    });
    expect(seedsOf(request)).toHaveLength(6);
  });

  it('takes everything the client webuiapi sends by itself', async () => {
    const { answer } = await make('/sdapi/v1/txt2img', {
      prompt: 'a circle',
      ...{ enable_hr: false, hr_scale: 2, hr_upscaler: 'Latent', hr_prompt: '', hr_checkpoint_name: null },
      ...{ firstphase_width: 0, styles: [], seed: -1, subseed: -1, subseed_strength: 0.0, seed_resize_from_h: 0 },
      ...{ restore_faces: false, tiling: false, do_not_save_grid: false, eta: 1.0, s_churn: 0, s_tmax: 0, s_noise: 1 },
      ...{ override_settings: {}, sampler_name: 'Euler a', sampler_index: 'Euler a', scheduler: 'automatic' },
      ...{ script_name: null, script_args: [], send_images: false, save_images: false, alwayson_scripts: {} },
    });
    expect(answer.json.images).toEqual([]);
    expect(JSON.parse(answer.json.info).infotexts).toHaveLength(1);
  });

  it('repeats integers of any size as they were written', async () => {
    const asked = api.request('POST', '/sdapi/v1/txt2img', {
      body: '{"prompt": "x", "seed": 9223372036854775807, "override_settings": {"a": [98765432109876543210]}}',
      headers: { 'Content-Type': 'application/json' },
    });
    await api.succeed(await claimed(api), PNG);
    const { text, json } = await asked;
    expect(text).toContain('"seed":9223372036854775807,');
    expect(text).toContain('{"a":[98765432109876543210]}');
    expect(json.info).toContain('"all_seeds":[9223372036854775807]');
  });

  it('draws a seed for -1', async () => {
    const { request } = await make('/sdapi/v1/txt2img', { prompt: 'a circle', seed: -1 });
    expect(Number(request.seed)).toBeGreaterThanOrEqual(0);
  });

  it.each<[string, unknown, string]>([
    ['enable_hr', true, 'enable_hr'],
    ['restore_faces', true, 'restore_faces'],
    ['tiling', true, 'tiling'],
    ['styles', ['noir'], 'styles'],
    ['subseed_strength', 0.3, 'subseed_strength'],
    ['seed_resize_from_w', 512, 'seed_resize_from_w'],
    ['s_churn', 1, 's_churn'],
    ['eta', 0.3, 'eta'],
    ['script_name', 'X/Y/Z plot', 'script_name'],
    ['refiner_checkpoint', 'refiner', 'refiner_checkpoint'],
    ['alwayson_scripts', { ADetailer: { args: [true, {}] } }, 'alwayson_scripts.ADetailer'],
    ['alwayson_scripts', { ControlNet: { args: [{ model: 'canny' }] } }, 'alwayson_scripts.ControlNet.args[0].image'],
    [
      'alwayson_scripts',
      { ControlNet: { args: [{ image: BASE64, model: 'canny', module: 'canny' }] } },
      'alwayson_scripts.ControlNet.args[0].module',
    ],
    [
      'alwayson_scripts',
      { ControlNet: { args: [{ image: BASE64, model: 'depth' }] } },
      'alwayson_scripts.controlnet.args[0].model',
    ],
    ['override_settings', { sd_model_checkpoint: 'other' }, 'override_settings.sd_model_checkpoint'],
    ['override_settings', { sd_model_checkpoint: 7 }, 'override_settings.sd_model_checkpoint'],
    ['override_settings', { CLIP_stop_at_last_layers: 2 }, 'override_settings.CLIP_stop_at_last_layers'],
    ['sampler_name', 'DPM++ 4M', 'sampler_name'],
    ['scheduler', 'align_your_steps', 'scheduler'],
    ['steps', 0, 'steps'],
    ['steps', 'many', 'steps'],
    ['cfg_scale', 99, 'cfg_scale'],
    ['width', 65, 'width'],
    ['batch_size', 17, 'batch_size'],
    ['n_iter', -1, 'n_iter'],
    ['seed', 'lucky', 'seed'],
    ['prompt', 'a <lora:pencil:1>', 'prompt'],
    ['prompt', '', 'prompt'],
  ])('is refused for %s %j, as FastAPI tells it', async (field, value, at) => {
    const { status, json } = await api.post('/sdapi/v1/txt2img', { prompt: 'a circle', [field]: value });
    expect(status).toBe(422);
    expect(json).toEqual({ detail: [expect.objectContaining({ msg: expect.stringContaining(`${at}: `) })] });
    expect(json.detail[0].loc[0]).toBe('body');
    expect(json.detail[0].ctx).not.toEqual({ limit: null });
    expect(await api.countJobs()).toBe(0);
  });

  it('names all mistakes at once', async () => {
    const { json } = await api.post('/sdapi/v1/txt2img', {
      prompt: 'x',
      width: 65,
      tiling: true,
      sampler_name: 'none',
    });
    expect(json.detail.map(({ loc }: AnyJson) => loc[1])).toEqual(['tiling', 'sampler_name', 'width']);
  });

  it.each(['null', '[]', '"x"'])('is refused for the body %s in the form of AUTOMATIC1111', async (body) => {
    const headers = { 'Content-Type': 'application/json' };
    const { status, json } = await api.request('POST', '/sdapi/v1/txt2img', { body, headers });
    expect(status).toBe(400);
    expect(json).toEqual({ error: 'malformed_request', detail: expect.any(String), body: '', errors: json.detail });
  });

  it('tells of a failure with its status', async () => {
    const asked = api.post('/sdapi/v1/txt2img', { prompt: 'a circle' });
    const failure = { kind: 'model_unavailable', phase: 'load', step: 0, message: 'the model is gone' } as const;
    const record = attemptRecord({ outcome: 'failed', failure, finishedAt: Date.now() });
    const ended = await api.store.endIfClaimed(await claimed(api), record, { state: 'failed', failure }, Date.now());
    if (!ended.recorded) throw new Error('expected the claim to hold');
    api.events.publish(ended.events);
    const { status, json } = await asked;
    expect(status).toBe(503);
    expect(json).toMatchObject({ error: 'model_unavailable', detail: 'the model is gone' });
  });

  it('ends its job when the client hangs up', async () => {
    const caller = new AbortController();
    const asked = fetch(`${api.url}/sdapi/v1/txt2img`, {
      method: 'POST',
      body: JSON.stringify({ prompt: 'a circle' }),
      headers: { 'Content-Type': 'application/json' },
      signal: caller.signal,
    }).catch(() => null);
    const [queued] = await eventually('a job is queued', async () => {
      const jobs = await api.store.list({ limit: 1 });
      return jobs.length > 0 ? jobs : null;
    });
    caller.abort();
    await asked;
    await eventually('it is cancelled', async () =>
      (await api.store.get(queued!.id))?.state === 'cancelled' ? true : null,
    );
  });
});
