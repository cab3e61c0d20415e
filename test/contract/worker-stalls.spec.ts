import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import type { AttemptEvent, ReadyWorker } from '../../src/dispatch/ports/worker-pool.port.js';
import type { ExecutionPlan } from '../../src/domain/generation/execution-plan.js';
import { CancelOverdueError, WorkerClient } from '../../src/workers/client/worker-client.js';
import type { SupervisedWorkerPool } from '../../src/workers/supervised-worker-pool.js';
import { ProcessTable } from '../../src/workers/supervision/process-table.js';
import { tinyModelDir } from '../support/tiny-model.js';
import { CPU, plannedModel, play, readyWorker, smallPlan, workerPool, workerThat } from '../support/worker-pools.js';

const onLinux = new ProcessTable().isReadable ? describe : describe.skip;

let dataDir: string;
let model: ExecutionPlan['model'];
let pool: SupervisedWorkerPool;
const plan = () => smallPlan(dataDir, model);

beforeEach(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'sl-'));
  model = plannedModel('tiny', await tinyModelDir());
});
afterEach(async () => {
  await pool.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

/** The real worker; only that its decodes take until the gate is opened. */
function gatedWorker(): { readonly python: string; readonly open: () => void } {
  const gate = join(dataDir, 'gate');
  const program = join(dataDir, 'gated.py');
  const python = join(dataDir, 'python');
  const lines = [
    'import os, runpy, sys, time',
    'sys.path.insert(0, os.getcwd())',
    'sys.argv = [sys.argv[0], *sys.argv[3:]]',
    'from safelight_worker.engine.engine import Engine, Phase',
    'enter = Engine._enter',
    'def enter_and_wait(self, attempt, phase):',
    '    enter(self, attempt, phase)',
    `    while phase is Phase.DECODE and not os.path.exists(${JSON.stringify(gate)}):`,
    '        time.sleep(0.01)',
    'Engine._enter = enter_and_wait',
    'runpy.run_module("safelight_worker", run_name="__main__", alter_sys=True)',
  ];
  writeFileSync(program, lines.join('\n'));
  const interpreter = resolve('python-worker/.venv/bin/python');
  writeFileSync(python, `#!/bin/sh\nexec ${interpreter} ${program} "$@"\n`, { mode: 0o700 });
  return { python, open: () => writeFileSync(gate, '') };
}

const decodes = (event: AttemptEvent) => event.type === 'phase' && event.phase === 'decode';

/** Follows an attempt up to its decode and leaves it there, as one does who cannot store what it tells. */
async function leaveInDecode(): Promise<void> {
  const worker = await readyWorker(pool);
  for await (const event of worker.run(plan(), new AbortController().signal)) if (decodes(event)) return;
}

it('a round that is longer than the settings allow ends a life or two, not all of them', async () => {
  const { python, open } = gatedWorker();
  pool = workerPool(dataDir, { python, stallTimeoutMs: 2000, stallFloorMs: 2000 });
  pool.start();
  const ends = [];
  for (const allowed of ['2 s', '4 s']) {
    const events = await play(await readyWorker(pool), plan());
    expect(events.at(-1)).toMatchObject({ type: 'failed', failure: { kind: 'worker_hung', phase: 'decode' } });
    ends.push([allowed, events.at(-1)]);
  }
  for (const [allowed, end] of ends) {
    const message = expect.stringContaining(`a round may take ${allowed as string}`) as unknown;
    expect(end).toMatchObject({ failure: { message } });
    const setting = expect.stringContaining('workers.stall_timeout_ms (SAFELIGHT_WORKERS_STALL_TIMEOUT_MS)') as unknown;
    expect(end).toMatchObject({ failure: { message: setting } });
  }
  const worker = await readyWorker(pool);
  open();
  expect((await play(worker, plan())).at(-1)).toHaveProperty('artifacts');
});

it('a worker that still computes for an attempt that was left takes no other', async () => {
  const { python, open } = gatedWorker();
  pool = workerPool(dataDir, { python });
  pool.start();
  await leaveInDecode();
  expect(pool.ready()).toHaveLength(0);
  expect(pool.list()[0]).toMatchObject({ state: 'ready', reason: expect.stringContaining('was left') as unknown });
  const told = new Promise<ReadyWorker>((found) => pool.onChange(() => pool.ready().forEach(found)));
  open();
  const worker = await told;
  expect((await play(worker, plan())).at(-1)).toHaveProperty('artifacts');
  expect(pool.list()[0]).toMatchObject({ restarts: 0, reason: null });
});

it('a cancelled attempt that does not end is told from one that has ended', async () => {
  const { python, open } = gatedWorker();
  pool = workerPool(dataDir, { python });
  pool.start();
  await readyWorker(pool);
  const socket = readdirSync(join(dataDir, 'run')).find((name) => name.endsWith('.sock'));
  const client = new WorkerClient(`unix:${join(dataDir, 'run', socket!)}`, CPU, 1);
  const cancel = new AbortController();
  const follow = async () => {
    for await (const event of client.run(plan(), { cancel: cancel.signal, leave: new AbortController().signal }))
      if (decodes(event)) cancel.abort();
  };
  try {
    await expect(follow()).rejects.toThrow(CancelOverdueError);
  } finally {
    client.close();
    open();
  }
});

onLinux('a worker that is stopped while it loads a model', () => {
  it('is not given the time of a load', async () => {
    pool = workerPool(dataDir, { stallFloorMs: 2000 });
    pool.start();
    const worker = await readyWorker(pool);
    const { pid } = pool.list()[0]!;
    const events = await play(worker, plan(), (event) => {
      if (event.type === 'phase' && event.phase === 'load') process.kill(pid!, 'SIGSTOP');
    });
    expect(events.at(-1)).toMatchObject({
      type: 'failed',
      failure: { kind: 'worker_hung', phase: 'load', message: expect.stringContaining('did not answer') as unknown },
    });
  });
});

it('a listener that throws harms neither the worker nor who listens beside it', async () => {
  pool = workerPool(dataDir, {}, { served: [{ ...model, pinned: false, keepAliveMs: null, memory: plan().memory }] });
  const heard: string[] = [];
  const broken = () => {
    throw new Error('a defect of the listener');
  };
  pool.onChange(broken);
  pool.onFootprint(broken);
  pool.onFootprint((footprint) => heard.push(footprint.model));
  pool.start();
  const worker = await readyWorker(pool);
  expect((await play(worker, plan())).at(-1)).toHaveProperty('artifacts');
  await workerThat('told of its model', pool, () => heard.includes('tiny'));
  expect(pool.list()[0]).toMatchObject({ state: 'ready', restarts: 0 });
});
