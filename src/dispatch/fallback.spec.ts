import { modelDescription } from '../../test/support/api.js';
import type { DispatchingNode, DispatchOptions } from '../../test/support/dispatch.js';
import { DONE, startNode } from '../../test/support/dispatch.js';
import type { Script } from '../../test/support/scripted-worker.js';
import { ScriptedPool, ScriptedWorker, waitsFor } from '../../test/support/scripted-worker.js';
import type { Device } from '../domain/placement/device.js';
import type { FailureKind } from '../domain/failure/failure-kind.js';
import { failure } from '../domain/failure/failure.js';
import type { Job } from '../domain/job/job.js';
import type { Phase } from '../domain/job/phase.js';

const FILES = {
  ...{ checkpoint: 'a.safetensors', unet: null, clip: [], vae: null },
  ...{ weightDtype: 'default', timeShift: true },
};
const BOTH = modelDescription({ id: 'both', comfyui: FILES, loras: [{ id: 'ink', source: '/ink' }] });
const FAR = modelDescription({ id: 'far', isLocal: false, comfyui: FILES, isDefault: false });
const HERE = modelDescription({ id: 'here', isDefault: false });

class Server extends ScriptedWorker {
  override readonly device: Device = { id: 'comfyui:0', kind: 'remote', name: 'ComfyUI' };
}

const draws = waitsFor(Promise.resolve(), DONE);
const failsWith = (kind: FailureKind, phase: Phase = 'load'): Script =>
  async function* () {
    yield { type: 'accepted' };
    await Promise.resolve();
    yield { type: 'failed', failure: failure(kind, `${kind} here`, { phase }) };
  };

describe('A server beside the workers', () => {
  let node: DispatchingNode | null = null;
  let worker: ScriptedWorker;
  let server: Server;
  let pool: ScriptedPool;

  afterEach(async () => {
    await node?.close();
    node = null;
  });

  async function start(
    scripts: { worker?: Script; server?: Script } = {},
    options: Partial<DispatchOptions> = {},
    arrange: () => void = () => undefined,
  ): Promise<DispatchingNode> {
    worker = new ScriptedWorker('local', scripts.worker ?? draws);
    server = new Server('comfyui-0', scripts.server ?? draws);
    pool = new ScriptedPool([server, worker]);
    arrange();
    node = await startNode({ pool, models: [BOTH, FAR, HERE], comfyui: { takeOverMs: 0 }, ...options });
    return node;
  }
  const ranOn = (job: Pick<Job, 'attempts'>) => job.attempts.map((attempt) => attempt.worker);
  /** A round that began with it is over when this resolves. */
  const leaves = async () => {
    worker.state = 'defunct';
    pool.become([server, worker]);
    await node?.dispatcher.idle();
  };

  it('draws what no worker has, and nothing else while a worker is there', async () => {
    const { submit, final } = await start();
    const [far, both, here] = [
      await submit({ model: 'far' }),
      await submit({ model: 'both' }),
      await submit({ model: 'here' }),
    ];
    expect(ranOn(await final(far))).toEqual(['comfyui-0']);
    expect(ranOn(await final(both))).toEqual(['local']);
    expect(ranOn(await final(here))).toEqual(['local']);
  });

  it('takes over when the workers have gone, and leaves what it does not serve', async () => {
    const { submit, final, store } = await start();
    await leaves();
    const [here, both] = [await submit({ model: 'here' }), await submit({ model: 'both' })];
    expect(ranOn(await final(both))).toEqual(['comfyui-0']);
    expect((await store.get(here))?.state).toBe('queued');
    worker.state = 'ready';
    pool.become([server, worker]);
    expect(ranOn(await final(here))).toEqual(['local']);
  });

  it('leaves workers time to come back, and takes over when it is up', async () => {
    const { submit, final } = await start({}, { comfyui: { takeOverMs: 300 } });
    await leaves();
    const began = Date.now();
    expect(ranOn(await final(await submit({ model: 'both' })))).toEqual(['comfyui-0']);
    expect(Date.now() - began).toBeGreaterThanOrEqual(290);
  });

  it('is given at once what every worker failed at', async () => {
    const { submit, final } = await start({ worker: failsWith('model_unavailable') });
    const job = await final(await submit({ model: 'both' }));
    expect(job.state).toBe('succeeded');
    expect(ranOn(job)).toEqual(['local', 'comfyui-0']);
  });

  it('is not given what workers failed at and it does not serve', async () => {
    const { submit, final } = await start({ worker: failsWith('model_unavailable') });
    const job = await final(await submit({ model: 'here' }));
    expect(job).toMatchObject({ state: 'failed', failure: { kind: 'model_unavailable' } });
    expect(new Set(ranOn(job))).toEqual(new Set(['local']));
  });

  it('leaves what it cannot do to the workers, however long they take', async () => {
    const { submit, once, final } = await start();
    await leaves();
    const id = await submit({ model: 'both', loras: [{ id: 'ink', weight: 1 }] });
    const waiting = await once(id, ({ avoids, state }) => state === 'queued' && avoids.includes('here/comfyui-0'));
    expect(waiting.failure).toMatchObject({ kind: 'model_unavailable', field: 'loras' });
    expect(server.plans).toEqual([]);
    worker.state = 'ready';
    pool.become([server, worker]);
    const job = await final(id);
    expect(job.state).toBe('succeeded');
    expect(ranOn(job).at(-1)).toBe('local');
  });

  it('takes only the rungs that mean something there', async () => {
    const { submit, final } = await start({ server: failsWith('device_out_of_memory', 'decode') });
    const job = await final(
      await submit({ model: 'far', num_images: 2, max_degradation: 'reduced', width: 1024, height: 1024 }),
    );
    expect(job.state).toBe('failed');
    expect(new Set(job.degradations.map(({ rung }) => rung))).toEqual(new Set(['vae_tiling', 'lower_resolution']));
  });

  it('names both causes when neither it nor a worker can serve a model', async () => {
    const { submit, final } = await start({ server: failsWith('model_unavailable') }, {}, () => {
      worker.state = 'defunct';
    });
    const both = await final(await submit({ model: 'both' }));
    expect(both).toMatchObject({ state: 'failed', failure: { kind: 'model_unavailable' } });
    expect(both.failure?.message).toBe('model_unavailable here; local: it is defunct');
    const far = await final(await submit({ model: 'far' }));
    expect(far.failure?.message).toBe('model_unavailable here; no worker serves it: its entry has no source');
  });

  it('does not keep an urgent job from taking the place of another on a worker', async () => {
    const gate = Promise.withResolvers<void>();
    const { submit, running, final } = await start({ worker: waitsFor(gate.promise, DONE) }, { permits: 1 });
    const slow = await submit({ model: 'here', priority: 'low' });
    await running(slow);
    const urgent = await submit({ model: 'here', priority: 'urgent' });
    await running(urgent);
    gate.resolve();
    expect((await final(urgent)).state).toBe('succeeded');
    expect((await final(slow)).state).toBe('succeeded');
  });
});
