import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { pino } from 'pino';

import { ComfyUiPool } from '../../src/comfyui/comfyui-pool.js';
import { ComfyUiConfig } from '../../src/config/comfyui.config.js';
import type { AttemptEvent, ReadyWorker } from '../../src/dispatch/ports/worker-pool.port.js';
import type { ExecutionPlan } from '../../src/domain/generation/execution-plan.js';
import type { ModelDescription } from '../../src/domain/generation/model-description.js';
import { modelDescription } from '../support/api.js';
import { ComfyUiServer } from '../support/comfyui-server.js';
import { pngOf } from '../support/pictures.js';
import { readPng } from '../support/png.js';
import { eventually } from '../support/signals.js';
import { plannedModel, play, smallPlan } from '../support/worker-pools.js';

const FILES = {
  ...{ checkpoint: 'sd15.safetensors', unet: null, clip: [], vae: null },
  ...{ weightDtype: 'default', timeShift: true },
};

let dataDir: string;
let server: ComfyUiServer;
let pool: ComfyUiPool;
let model: ModelDescription;

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'sl-comfyui-'));
  server = await ComfyUiServer.start();
  model = modelDescription({ id: 'far', isLocal: false, comfyui: FILES });
  pool = poolOf({});
});
afterEach(async () => {
  await pool.stop();
  await server.close();
  rmSync(dataDir, { recursive: true, force: true });
});

function poolOf(config: ConstructorParameters<typeof ComfyUiConfig>[0]): ComfyUiPool {
  return new ComfyUiPool({
    url: server.url,
    node: 'test',
    config: new ComfyUiConfig({ healthIntervalMs: 50, requestTimeoutMs: 2000, ...config }),
    find: () => model,
    log: pino({ level: process.env['SAFELIGHT_TEST_LOG'] ?? 'silent' }),
  });
}

async function worker(config?: ConstructorParameters<typeof ComfyUiConfig>[0]): Promise<ReadyWorker> {
  if (config !== undefined) pool = poolOf(config);
  pool.start();
  return eventually('ComfyUI is ready', () => Promise.resolve(pool.ready()[0] ?? null));
}

const plan = (changes: Partial<ExecutionPlan> = {}) => smallPlan(dataDir, plannedModel('far', ''), changes);
/** One bit of the pixels is another. */
function damaged(png: Buffer): Buffer {
  const copy = Buffer.from(png);
  const at = copy.indexOf('IDAT') + 8;
  copy[at] = copy[at]! ^ 1;
  return copy;
}

const named = <T extends AttemptEvent['type']>(events: readonly AttemptEvent[], type: T) =>
  events.filter((event): event is Extract<AttemptEvent, { type: T }> => event.type === type);

describe('an attempt on ComfyUI', () => {
  it('tells phases and steps in their order and leaves the pictures in the staging folder', async () => {
    const one = plan({ seeds: ['7', '8'] });
    const events = await play(await worker(), one);
    expect(events[0]).toEqual({ type: 'accepted' });
    expect(named(events, 'phase').map(({ phase }) => phase)).toEqual([
      ...['load', 'encode', 'prepare', 'denoise', 'decode', 'save'],
    ]);
    const steps = named(events, 'step').map(({ step }) => step);
    expect(steps).toEqual(steps.toSorted((a, b) => a - b));
    expect(named(events, 'step').at(-1)).toEqual({ type: 'step', step: 4, steps: 4 });
    const [result] = named(events, 'result');
    expect(events.at(-1)).toBe(result);
    expect(result?.artifacts.map(({ index, seed, fileName }) => [index, seed, fileName])).toEqual([
      [0, '7', '0.png'],
      [1, '8', '1.png'],
    ]);
    for (const { fileName, bytes, sha256, width, height } of result?.artifacts ?? []) {
      const file = readFileSync(join(one.stagingDir, fileName));
      expect(file.length).toBe(bytes);
      expect(createHash('sha256').update(file).digest('hex')).toBe(sha256);
      expect(readPng(file)).toMatchObject({ width, height, text: { prompt: 'a red circle' } });
    }
    expect(result?.effective).toMatchObject({
      ...{ runner: 'comfyui', workflow: 'sd15', sampler: 'dpmpp_2m', schedule: 'karras', device: 'comfyui:0' },
      versions: { comfyui: '0.9.1', torch: '2.9.0' },
    });
    expect(result?.phases.every(({ startedAt, finishedAt }) => (finishedAt ?? 0) >= startedAt)).toBe(true);
  });

  it('is asked for over sockets that its own origin check lets through', async () => {
    await play(await worker(), plan());
    expect(server.handshakes).toHaveLength(1);
    expect(server.handshakes[0]).not.toHaveProperty('origin');
    expect(server.prompts[0]?.text).toContain('"seed":7,');
  });

  it.each([
    ['webp', 'image/webp'],
    ['jpeg', 'image/jpeg'],
  ] as const)('leaves %s where that is wanted', async (outputFormat, mediaType) => {
    const [result] = named(await play(await worker(), plan({ outputFormat })), 'result');
    expect(result?.artifacts[0]).toMatchObject({ mediaType, width: 64, height: 64 });
  });

  it('shows frames to those who watch, and to nobody else', async () => {
    const ready = await worker();
    expect(named(await play(ready, plan()), 'preview')).toEqual([]);
    const watched = named(await play(ready, plan({ previewIntervalMs: 1, numInferenceSteps: 3 })), 'preview');
    expect(watched[0]).toMatchObject({ mediaType: 'image/jpeg' });
    expect(Buffer.from(watched[0]!.data).toString()).toMatch(/^frame \d$/);
  });

  it('shows frames from the moment they are switched on', async () => {
    const ready = await worker();
    const one = plan({ numInferenceSteps: 4 });
    server.pauseAtStep = 2;
    const playing = play(ready, one);
    await server.untilPaused();
    await ready.setPreviews(one.attemptId, 1);
    server.resume();
    expect(named(await playing, 'preview').length).toBeGreaterThan(0);
  });

  it('is not suspended: what runs there cannot be put back', async () => {
    const ready = await worker();
    const one = plan();
    server.pauseAtStep = 2;
    const playing = play(ready, one);
    await server.untilPaused();
    expect(await ready.suspend(one.attemptId)).toBe(false);
    server.resume();
    expect((await playing).at(-1)).toMatchObject({ type: 'result' });
  });
});

describe('a prompt that is called off', () => {
  it('is interrupted while it runs', async () => {
    const ready = await worker();
    const cancel = new AbortController();
    server.pauseAtStep = 2;
    const playing = play(ready, plan(), undefined, cancel.signal);
    await server.untilPaused();
    cancel.abort();
    expect((await playing).at(-1)).toEqual({ type: 'cancelled' });
    expect(server.interrupts).toEqual([server.prompts[0]?.id]);
  });

  it('is taken out of the queue while it waits, and whatever runs goes on', async () => {
    const ready = await worker();
    server.occupy();
    await server.untilPaused();
    const cancel = new AbortController();
    const playing = play(ready, plan(), (event) => event.type === 'accepted' && cancel.abort(), cancel.signal);
    expect((await playing).at(-1)).toEqual({ type: 'cancelled' });
    expect(server.deletions).toContain(server.prompts[0]?.id);
    expect(server.interrupts).toEqual([]);
    expect(server.isPaused).toBe(true);
  });

  it('is given back when the connection is drained', async () => {
    const ready = await worker();
    server.pauseAtStep = 2;
    const playing = play(ready, plan());
    await server.untilPaused();
    await pool.stopWorker('comfyui-0');
    expect((await playing).at(-1)).toMatchObject({ type: 'failed', failure: { kind: 'worker_stopping' } });
    expect(server.interrupts).toHaveLength(1);
    expect(pool.list()[0]).toMatchObject({ state: 'stopped', reason: 'it is drained' });
    expect(pool.startWorker('comfyui-0')).toBe(true);
    server.resume();
    await worker();
  });
});

describe('a socket that breaks', () => {
  it('costs no picture: the history is asked', async () => {
    const ready = await worker();
    server.pauseAtStep = 2;
    const playing = play(ready, plan());
    await server.untilPaused();
    server.refusesSockets = true;
    server.dropSockets();
    server.resume();
    expect((await playing).at(-1)).toMatchObject({ type: 'result' });
    expect(server.prompts).toHaveLength(1);
  });

  it('is opened again, and tells on', async () => {
    const ready = await worker();
    server.pauseAtStep = 1;
    const one = plan({ numInferenceSteps: 3 });
    const playing = play(ready, one);
    await server.untilPaused();
    server.dropSockets();
    await eventually('the socket is open again', () => Promise.resolve(server.handshakes.length > 1 || null));
    server.resume();
    const events = await playing;
    expect(named(events, 'step').at(-1)).toMatchObject({ step: 3 });
  });

  it('is not needed', async () => {
    server.refusesSockets = true;
    expect((await play(await worker(), plan())).at(-1)).toMatchObject({ type: 'result' });
  });
});

describe('what goes wrong there', () => {
  const failureOf = async (events: Promise<AttemptEvent[]>) => named(await events, 'failed')[0]?.failure;

  it.each([
    ['torch.OutOfMemoryError', 'Allocation on device 0 would exceed allowed memory', 'device_out_of_memory'],
    ['torch.AcceleratorError', 'CUDA error: device-side assert triggered', 'device_fatal'],
    ['ValueError', 'what\nTIPS: it helps to', 'internal'],
  ])('%s is a failure of its kind', async (exception_type, exception_message, kind) => {
    server.failure = { exception_type, exception_message };
    const failed = await failureOf(play(await worker(), plan()));
    expect(failed).toMatchObject({ kind, phase: 'denoise', detail: expect.stringContaining('x.py') as unknown });
    expect(failed?.message).toBe(`ComfyUI, KSampler: ${exception_message.split('\n')[0]}`);
  });

  it('is told from the history too', async () => {
    server.refusesSockets = true;
    server.failure = { exception_type: 'torch.OutOfMemoryError', exception_message: 'out of memory' };
    expect(await failureOf(play(await worker(), plan()))).toMatchObject({ kind: 'device_out_of_memory' });
  });

  it('a file that is not there is named', async () => {
    model = modelDescription({ id: 'far', isLocal: false, comfyui: { ...FILES, checkpoint: 'gone.safetensors' } });
    const failed = await failureOf(play(await worker(), plan()));
    expect(failed).toMatchObject({ kind: 'model_unavailable', phase: null });
    expect(failed?.message).toContain("ckpt_name: 'gone.safetensors' not in");
    expect(server.deletions).toEqual([]);
  });

  it('somebody else interrupts it', async () => {
    const ready = await worker();
    server.pauseAtStep = 2;
    const failed = failureOf(play(ready, plan()));
    await server.untilPaused();
    await fetch(`${server.url}/interrupt`, {
      method: 'POST',
      body: JSON.stringify({ prompt_id: server.prompts[0]?.id }),
    });
    expect(await failed).toMatchObject({
      kind: 'internal',
      message: expect.stringContaining('interrupted') as unknown,
    });
  });

  it.each<[string, (width: number, height: number) => Buffer]>([
    ['drew 8x8 in place of 64x64', () => pngOf(8, 8, () => [1, 2, 3])],
    ['sent no picture in place of image/png', () => Buffer.from('<html>')],
    ['sent a PNG that is damaged', (width, height) => damaged(pngOf(width, height, (x) => [x, 2, 3]))],
    ['sent a PNG that is damaged', (width, height) => pngOf(width, height, () => [1, 2, 3]).subarray(0, -20)],
  ])('a picture is wrong: it %s (%#)', async (message, draw) => {
    server.draw = draw;
    const failed = await failureOf(play(await worker(), plan()));
    expect(failed).toMatchObject({ kind: 'rejected_output', message: `ComfyUI ${message}`, phase: 'save' });
  });

  it('a picture is of one colour, which is what becomes of numbers that are none', async () => {
    server.draw = (width, height) => pngOf(width, height, () => [0, 0, 0]);
    const failed = await failureOf(play(await worker(), plan({ outputFormat: 'webp' })));
    expect(failed).toMatchObject({ kind: 'rejected_output', phase: 'save' });
    expect(failed?.message).toContain('all pixels are the same');
  });

  it('a restart there loses the prompt, and it is not waited for', async () => {
    const ready = await worker();
    server.pauseAtStep = 2;
    const failed = failureOf(play(ready, plan()));
    await server.untilPaused();
    server.forgetAll();
    expect(await failed).toMatchObject({
      kind: 'worker_lost',
      message: 'ComfyUI has lost the prompt',
      phase: 'denoise',
    });
  });

  it('it is out of reach for too long', async () => {
    const ready = await worker({ lostTimeoutMs: 300, requestTimeoutMs: 200 });
    server.pauseAtStep = 2;
    const failed = failureOf(play(ready, plan()));
    await server.untilPaused();
    server.isHung = true;
    server.dropSockets();
    expect(await failed).toMatchObject({
      kind: 'worker_lost',
      message: expect.stringContaining('out of reach') as unknown,
    });
  });

  it('it stands still for too long, and is called off', async () => {
    const ready = await worker({ stallTimeoutMs: 300 });
    server.pauseAtStep = 2;
    server.refusesSockets = true;
    const failed = failureOf(play(ready, plan()));
    expect(await failed).toMatchObject({
      kind: 'worker_hung',
      message: expect.stringContaining('stood still') as unknown,
    });
    expect(server.interrupts.length).toBeGreaterThan(0);
  });

  it('it does not begin in time', async () => {
    const ready = await worker({ queueTimeoutMs: 300 });
    server.occupy();
    await server.untilPaused();
    server.refusesSockets = true;
    expect(await failureOf(play(ready, plan()))).toMatchObject({ kind: 'worker_hung', phase: null });
    expect(server.deletions).toEqual([server.prompts[0]?.id]);
    expect(server.interrupts).toEqual([]);
  });

  it('it is not there when the attempt begins', async () => {
    const ready = await worker({ healthIntervalMs: 60_000 });
    const { url } = server;
    await server.close();
    const message = expect.stringMatching(`ComfyUI at ${url} cannot be reached: .*ECONNREFUSED`) as unknown;
    expect(await failureOf(play(ready, plan()))).toMatchObject({ kind: 'worker_lost', message, phase: null });
    server = await ComfyUiServer.start();
  });
});

describe('the ComfyUI server as a worker', () => {
  const described = () => pool.list()[0]!;

  it('is ready within reach, with its memory and versions', async () => {
    expect(described()).toMatchObject({ state: 'starting', pid: null });
    await worker();
    expect(described()).toMatchObject({
      ...{ id: 'comfyui-0', node: 'test', state: 'ready', reason: null, device: { id: 'comfyui:0', kind: 'remote' } },
      memory: { totalBytes: 24_000, freeBytes: 20_000, reservedBytes: 3_000, allocatedBytes: 2_000 },
      versions: { comfyui: '0.9.1', torch: '2.9.0', python: '3.12.3' },
    });
  });

  it('is defunct out of reach, says why, and comes back', async () => {
    await worker();
    const { port } = server;
    await server.close();
    await eventually('it is defunct', () => Promise.resolve(described().state === 'defunct' || null));
    expect(described().reason).toContain('ECONNREFUSED');
    expect(pool.ready()).toEqual([]);
    server = await ComfyUiServer.start(port);
    await eventually('it is ready', () => Promise.resolve(described().state === 'ready' || null));
  });

  it('takes attempts to tell that it is out of reach, once that has lasted', async () => {
    pool = poolOf({ giveUpMs: 0 });
    await server.close();
    const ready = await worker();
    expect(described().state).toBe('defunct');
    const [failed] = named(await play(ready, plan()), 'failed');
    expect(failed?.failure).toMatchObject({ kind: 'model_unavailable' });
    expect(failed?.failure.message).toContain('cannot be reached');
    server = await ComfyUiServer.start();
  });

  it('is no ComfyUI if it answers like something else', async () => {
    const other = await ComfyUiServer.start();
    server.isHung = true;
    await other.close();
    pool = poolOf({ requestTimeoutMs: 100 });
    pool.start();
    await eventually('it is defunct', () => Promise.resolve(described().state === 'defunct' || null));
    expect(described().reason).toContain('cannot be reached');
  });
});
