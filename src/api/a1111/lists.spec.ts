import type { AnyJson, RunningApi } from '../../../test/support/api.js';
import { startApi } from '../../../test/support/api.js';
import { CAPABLE } from '../../../test/support/made.js';

let api: RunningApi;
afterEach(() => api.close());

describe('options and lists', () => {
  beforeEach(async () => {
    api = await startApi({ model: CAPABLE });
  });

  it('are read and posted back as they are', async () => {
    const { json } = await api.get('/sdapi/v1/options');
    expect(json).toMatchObject({ sd_model_checkpoint: 'shapes', CLIP_stop_at_last_layers: 1, samples_format: 'png' });
    expect(await api.post('/sdapi/v1/options', json)).toMatchObject({ status: 200, json: {} });
  });

  it.each([
    [{ sd_model_checkpoint: 'other' }, 'sd_model_checkpoint'],
    [{ sd_model_checkpoint: 7 }, 'sd_model_checkpoint'],
    [{ CLIP_stop_at_last_layers: 2 }, 'CLIP_stop_at_last_layers'],
    [{ sd_vae: 'other.safetensors' }, 'sd_vae'],
  ])('are refused as %j', async (options, field) => {
    const { status, json } = await api.post('/sdapi/v1/options', options);
    expect(status).toBe(422);
    expect(json.detail).toEqual([expect.objectContaining({ loc: ['body', field] })]);
  });

  it('name a model in every way clients know it by', async () => {
    for (const sd_model_checkpoint of ['shapes', 'shapes [0123abcdef]', 'shapes.safetensors [0123abcdef]'])
      expect((await api.post('/sdapi/v1/options', { sd_model_checkpoint })).status).toBe(200);
  });

  it('tell what there is', async () => {
    const list = async (name: string) => (await api.get(`/sdapi/v1/${name}`)).json;
    expect(await list('sd-models')).toEqual([
      { title: 'shapes', model_name: 'shapes', hash: null, sha256: null, filename: 'shapes', config: null },
    ]);
    const samplers = await list('samplers');
    expect(samplers).toContainEqual({
      name: 'Euler a',
      aliases: ['k_euler_a', 'k_euler_ancestral'],
      options: expect.any(Object),
    });
    expect((await list('schedulers')).map(({ name }: AnyJson) => name)).toContain('karras');
    expect(await list('loras')).toEqual([expect.objectContaining({ name: 'ink' })]);
    expect(await list('scripts')).toEqual({
      txt2img: ['controlnet', 'controlnet m2m'],
      img2img: ['controlnet', 'controlnet m2m'],
    });
    expect(await list('upscalers')).toEqual([expect.objectContaining({ name: 'None' })]);
    expect(await list('memory')).toMatchObject({ ram: { total: expect.any(Number) }, cuda: { error: 'unavailable' } });
    for (const name of [
      'hypernetworks',
      'face-restorers',
      'prompt-styles',
      'sd-vae',
      'latent-upscale-modes',
      'script-info',
    ])
      expect(await list(name)).toEqual([]);
    expect(await list('embeddings')).toEqual({ loaded: {}, skipped: {} });
    expect((await api.get('/controlnet/model_list')).json).toEqual({ model_list: ['canny'] });
    for (const name of ['refresh-checkpoints', 'unload-checkpoint', 'refresh-loras'])
      expect(await api.request('POST', `/sdapi/v1/${name}`)).toMatchObject({ status: 200, json: {} });
  });

  it('are not there under other names', async () => {
    const { status, json } = await api.get('/sdapi/v1/nothing-of-the-kind');
    expect(status).toBe(404);
    expect(json).toMatchObject({ detail: expect.any(String), error: 'not_found' });
  });
});
