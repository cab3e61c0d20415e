import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import { loadSettings } from '../../src/config/load-settings.js';
import type { RunningServer } from '../../src/server.js';
import { startServer } from '../../src/server.js';
import type { AnyJson } from '../support/api.js';
import { ComfyUiServer } from '../support/comfyui-server.js';
import { readPng } from '../support/png.js';
import { eventually } from '../support/signals.js';

const FAR = { id: 'far', family: 'sdxl', comfyui: { checkpoint: 'sdxl/base.safetensors' } };
const FINAL = ['succeeded', 'failed', 'cancelled', 'expired'];

/** The whole server with a model that ComfyUI alone has: no Python is started. */
describe('A server whose models are on ComfyUI', () => {
  let folder: string;
  let comfyui: ComfyUiServer;
  let server: RunningServer | null = null;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'safelight-comfyui-'));
    comfyui = await ComfyUiServer.start();
  });
  afterEach(async () => {
    await server?.close();
    server = null;
    await comfyui.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function start(config: object = {}, models: readonly object[] = [FAR]): Promise<void> {
    const timings = { health_interval_ms: 50, request_timeout_ms: 2000, ...config };
    const settings = {
      embedded_model: false,
      models,
      comfyui: { url: comfyui.url, ...timings },
      retry: { backoff_base_ms: 1, backoff_cap_ms: 1 },
      shutdown: { drain_ms: 0 },
    };
    writeFileSync(join(folder, 'safelight.yaml'), JSON.stringify(settings));
    const env = { SAFELIGHT_DATA_DIR: join(folder, 'data') };
    const log = pino({ level: process.env['SAFELIGHT_TEST_LOG'] ?? 'silent' });
    server = await startServer(loadSettings({ env, cwd: folder, homeDir: folder }), { log, port: 0 });
  }
  async function get(path: string): Promise<{ status: number; json: AnyJson }> {
    const response = await fetch(server!.url + path);
    return { status: response.status, json: await response.json() };
  }
  async function post(path: string, body: object): Promise<{ status: number; json: AnyJson }> {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(server!.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: response.status, json: await response.json() };
  }
  const submit = async (changes: object = {}): Promise<string> => {
    const sizes = { width: 64, height: 64, num_inference_steps: 4 };
    const { status, json } = await post('/v1/jobs', { prompt: 'a lake', seed: 3, ...sizes, ...changes });
    expect({ status, json }).toMatchObject({ status: 202 });
    return json.id;
  };
  const job = (id: string, when: (job: AnyJson) => boolean): Promise<AnyJson> =>
    eventually(`job ${id} as expected`, async () => {
      const { json } = await get(`/v1/jobs/${id}`);
      return when(json) ? json : null;
    });
  const final = (id: string) => job(id, ({ state }) => FINAL.includes(state));
  const ready = () =>
    eventually('it is ready', async () => ((await get('/health/ready')).status === 200 ? true : null));

  it('draws a job there and keeps its pictures', async () => {
    await start();
    await ready();
    const done = await final(await submit({ num_images: 2 }));
    expect(done).toMatchObject({ state: 'succeeded', failure: null });
    expect(done.effective).toMatchObject({
      runner: 'comfyui',
      workflow: 'sdxl',
      files: { checkpoint: 'sdxl/base.safetensors' },
    });
    expect(done.attempts).toMatchObject([{ worker: 'comfyui-0', device: 'comfyui:0', outcome: 'succeeded' }]);
    expect(done.artifacts).toHaveLength(2);
    const picture = await fetch(new URL(done.artifacts[0].url, server!.url));
    expect(readPng(Buffer.from(await picture.arrayBuffer()))).toMatchObject({ width: 64, height: 64 });
    expect(comfyui.prompts).toHaveLength(1);
  });

  it('tells how it goes while it is drawn', async () => {
    await start();
    comfyui.pauseAtStep = 2;
    const id = await submit();
    const half = await job(id, ({ progress }) => progress?.phase === 'denoise');
    expect(half).toMatchObject({ state: 'running', progress: { phase: 'denoise', steps: 4 } });
    const [busy] = (await get('/v1/workers')).json.data;
    expect(busy).toMatchObject({ id: 'comfyui-0', device: 'comfyui:0', state: 'busy', running: 1, pid: null });
    comfyui.resume();
    expect((await final(id)).state).toBe('succeeded');
  });

  it('interrupts a job there that is cancelled here', async () => {
    await start();
    comfyui.pauseAtStep = 2;
    const id = await submit();
    await comfyui.untilPaused();
    expect((await post(`/v1/jobs/${id}/cancel`, {})).status).toBeLessThan(300);
    expect((await final(id)).state).toBe('cancelled');
    expect(comfyui.interrupts).toEqual([comfyui.prompts[0]?.id]);
  });

  it('has a job wait while ComfyUI is down, and draws it once it is back', async () => {
    const { port } = comfyui;
    await comfyui.close();
    await start();
    const id = await submit();
    const worker = await eventually('it is defunct', async () => {
      const [found] = (await get('/v1/workers')).json.data;
      return found.state === 'defunct' ? found : null;
    });
    expect(worker.reason).toContain('cannot be reached');
    expect(await get('/health/ready')).toMatchObject({ status: 503 });
    expect((await get(`/v1/jobs/${id}`)).json.state).toBe('queued');
    comfyui = await ComfyUiServer.start(port);
    expect((await final(id)).state).toBe('succeeded');
  });

  it('ends a job when ComfyUI stays down, and says what nobody could do', async () => {
    await comfyui.close();
    await start({ give_up_ms: 100 });
    const failed = await final(await submit());
    expect(failed).toMatchObject({ state: 'failed', failure: { kind: 'model_unavailable' } });
    expect(failed.failure.message).toMatch(
      /^ComfyUI at .* cannot be reached: .*; no worker serves it: its entry has no source$/,
    );
    expect(failed.attempts).toHaveLength(3);
    comfyui = await ComfyUiServer.start();
  });

  it('tries again when ComfyUI is restarted in the midst of it', async () => {
    await start();
    comfyui.pauseAtStep = 2;
    const id = await submit();
    await comfyui.untilPaused();
    comfyui.forgetAll();
    const done = await final(id);
    expect(done.state).toBe('succeeded');
    expect(done.attempts.map((attempt: AnyJson) => attempt.outcome)).toEqual(['failed', 'succeeded']);
    expect(comfyui.prompts).toHaveLength(2);
  });

  it('refuses what no workflow stands for, all of it at once, by field', async () => {
    await start();
    const picture = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
    const scheduler = { scheduler: 'DPMSolverMultistepScheduler', scheduler_options: { solver_order: 3 } };
    const body = { prompt: 'a', model: 'far', init_image: picture, exact: true, output_format: 'mp4', ...scheduler };
    const { status, json } = await post('/v1/jobs', body);
    expect(status).toBe(422);
    const fields = json.errors.map(({ field }: AnyJson) => field);
    expect(new Set(fields)).toEqual(
      new Set(['init_image', 'exact', 'output_format', 'scheduler_options.solver_order']),
    );
    const listed = (await get('/v1/models')).json.data[0];
    expect(listed).toMatchObject({ id: 'far', family: 'sdxl', capabilities: ['text_to_image'], default: true });
    expect(listed.schedulers).not.toContain('TCDScheduler');
  });

  it('does not start with such a model and no address', async () => {
    await expect(start({ url: null })).rejects.toThrow('far: is on ComfyUI only, and comfyui.url is not set');
  });
});
