import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import type { ExecutionPlan } from '../../src/domain/generation/execution-plan.js';
import type { SupervisedWorkerPool } from '../../src/workers/supervised-worker-pool.js';
import { ProcessTable } from '../../src/workers/supervision/process-table.js';
import { writeHeavyModel } from '../support/heavy-model.js';
import { eventually } from '../support/signals.js';
import { tinyModelDir } from '../support/tiny-model.js';
import { LONG, plannedModel, play, readyWorker, servedModel } from '../support/worker-pools.js';
import { smallPlan, workerPool, workerThat } from '../support/worker-pools.js';

const PYTHON = resolve('python-worker/.venv/bin/python');
const TABLE = new ProcessTable();

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'sl-'));
});
afterEach(() => {
  rmSync(dataDir, { recursive: true, force: true });
});

async function withPool(pool: SupervisedWorkerPool, use: () => Promise<void>): Promise<void> {
  pool.start();
  try {
    await use();
  } finally {
    await pool.stop();
  }
}

/** A worker of a server that is gone, stopped before it could notice. */
async function leaveWorkerBehind() {
  const server = spawn('sleep', ['100']);
  const owner = TABLE.identify(server.pid!);
  server.kill('SIGKILL');
  await once(server, 'exit');
  const args = ['-m', 'safelight_worker', '--socket', join(dataDir, 'former.sock'), '--device', 'cpu:0'];
  const worker = spawn(PYTHON, args, { cwd: 'python-worker', detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  worker.kill('SIGSTOP');
  mkdirSync(join(dataDir, 'run'));
  const record = { worker: TABLE.identify(worker.pid!), owner };
  writeFileSync(join(dataDir, 'run', `worker-${worker.pid}.json`), JSON.stringify(record));
  return worker;
}

describe('a worker', () => {
  let model: ExecutionPlan['model'];
  let pool: SupervisedWorkerPool;
  const plan = (changes: Partial<ExecutionPlan> = {}) => smallPlan(dataDir, model, changes);

  it('of a former life is ended, is replaced soon when it is stopped, and is away while it is drained', async () => {
    model = plannedModel('tiny', await tinyModelDir());
    const former = TABLE.isReadable ? await leaveWorkerBehind() : null;
    const formerEnd = former === null ? null : once(former, 'exit');
    pool = workerPool(dataDir, { stallFloorMs: 2000 });
    await withPool(pool, async () => {
      if (formerEnd !== null) {
        // Not beside it: the device is still taken.
        expect(pool.list()[0]).toMatchObject({ state: 'starting', pid: null });
        expect(await formerEnd).toEqual([null, 'SIGKILL']);
      }
      await isReplacedWhenStopped();
      await isAwayWhileDrained();
      await pool.stop();
      expect(pool.startWorker('cpu-0')).toBe(false);
    });
  });

  async function isReplacedWhenStopped(): Promise<void> {
    const worker = await readyWorker(pool);
    const { pid } = pool.list()[0]!;
    if (TABLE.isReadable) expect(readdirSync(join(dataDir, 'run'))).toContain(`worker-${pid}.json`);
    expect((await play(worker, plan())).at(-1)).toHaveProperty('artifacts');
    let stoppedAt = 0;
    const events = await play(worker, plan(LONG), (event) => {
      if (event.type !== 'step' || stoppedAt > 0) return;
      stoppedAt = performance.now();
      process.kill(pid!, 'SIGSTOP');
    });
    expect(events.at(-1)).toMatchObject({
      type: 'failed',
      failure: { kind: 'worker_hung', phase: 'denoise', message: expect.stringContaining('stood still') as unknown },
    });
    // Far below the limit of a round of unknown work, which is two minutes.
    expect(performance.now() - stoppedAt).toBeLessThan(30_000);
    await readyWorker(pool);
    expect(pool.list()[0]!.pid).not.toBe(pid);
  }

  async function isAwayWhileDrained(): Promise<void> {
    const worker = await readyWorker(pool);
    const { restarts } = pool.list()[0]!;
    const run = await play(worker, plan(), (event) => {
      if (event.type === 'phase' && event.phase === 'denoise') pool.drain('cpu-0');
    });
    expect(run.at(-1)).toHaveProperty('artifacts');
    expect(pool.ready()).toEqual([]);
    expect(pool.list()[0]).toMatchObject({ state: 'draining', reason: 'it is drained' });
    const late = await play(worker, plan());
    expect(late).toMatchObject([{ type: 'failed', failure: { kind: 'worker_stopping' } }]);
    expect(pool.startWorker('cpu-0')).toBe(false);
    await pool.stopWorker('cpu-0');
    await pool.stopWorker('cpu-0');
    expect(pool.list()[0]).toMatchObject({ state: 'stopped', pid: null, reason: 'it is drained', restarts });
    const started = ['cpu-1', 'cpu-0', 'cpu-0'].map((id) => pool.startWorker(id));
    expect(started).toEqual([false, true, false]);
    expect((await play(await readyWorker(pool), plan())).at(-1)).toHaveProperty('artifacts');
  }
});

it('a worker that cannot be started says why, and is tried again', async () => {
  const pool = workerPool(dataDir, { python: '/nowhere/python' });
  await withPool(pool, async () => {
    const broken = await workerThat(
      'was tried twice',
      pool,
      ({ restarts, state }) => restarts >= 2 && state === 'defunct',
    );
    expect(broken.reason).toContain('/nowhere/python');
  });
});

it('a worker that dies again and again is tried now and then only, says why, and serves once it can', async () => {
  const python = join(dataDir, 'python');
  const mended = join(dataDir, 'mended');
  const record = `${join(dataDir, 'run')}/worker-$$.json`;
  const script = [
    '#!/bin/sh',
    // It is written down as a shell before it becomes Python.
    `[ -e ${mended} ] && { until [ -s ${record} ]; do :; done; exec ${PYTHON} "$@"; }`,
    `echo "ModuleNotFoundError: No module named 'torch'" >&2`,
    'exit 1',
  ];
  writeFileSync(python, script.join('\n'), { mode: 0o700 });
  const pool = workerPool(dataDir, { python, breakerRetryMs: 300 });
  await withPool(pool, async () => {
    const broken = await workerThat('is given up for now', pool, ({ reason }) => /died \d+ times/.test(reason ?? ''));
    expect(broken.state).toBe('defunct');
    expect(broken.reason).toContain(
      "exited with code 1 before it was ready: ModuleNotFoundError: No module named 'torch'",
    );
    expect(broken.reason).toContain('tried again every 0.3 s');
    await workerThat('is tried again', pool, ({ restarts }) => restarts > broken.restarts);
    writeFileSync(mended, '');
    await readyWorker(pool);
    expect(pool.list()[0]).toMatchObject({ state: 'ready', reason: null });
    // As what the script has become: else the next server would not know it.
    const { pid } = pool.list()[0]!;
    const written = JSON.parse(readFileSync(join(dataDir, 'run', `worker-${pid}.json`), 'utf8')) as object;
    expect(written).toHaveProperty('worker', TABLE.identify(pid!));
  });
});

it('a worker of another server in the same folder keeps its record and its socket', async () => {
  const model = plannedModel('tiny', await tinyModelDir());
  const [one, other] = [workerPool(dataDir), workerPool(dataDir)];
  const run = join(dataDir, 'run');
  await withPool(one, async () => {
    await readyWorker(one);
    await withPool(other, async () => {
      const worker = await readyWorker(other);
      const files = readdirSync(run);
      expect(files.filter((name) => name.endsWith('.sock'))).toHaveLength(2);
      await one.stop();
      expect(existsSync(join(run, `worker-${other.list()[0]!.pid}.json`))).toBe(true);
      expect(readdirSync(run).filter((name) => files.includes(name))).toHaveLength(files.length / 2);
      expect((await play(worker, smallPlan(dataDir, model))).at(-1)).toHaveProperty('artifacts');
    });
  });
  expect(readdirSync(run)).toEqual([]);
});

it('a worker whose memory does not come back is replaced by itself, and one whose does is not', async () => {
  // As they lie in the file weights are mapped, and come in as they are used; in another form they are copied.
  const model = { ...plannedModel('heavy', await writeHeavyModel(join(dataDir, 'heavy'))), dtype: 'bfloat16' as const };
  process.env['SAFELIGHT_FAULT_RULES'] = 'leak@load';
  const served = [servedModel(model, { keepAliveMs: 1 })];
  const pool = workerPool(dataDir, { memoryReturnMinBytes: 2 ** 25 }, { served });
  const allocated = () => pool.list()[0]!.memory?.allocatedBytes ?? 0;
  const drawAndLeave = async () => {
    await workerThat('was seen without models', pool, ({ memory, state }) => memory !== null && state === 'ready');
    const run = await play(await readyWorker(pool), smallPlan(dataDir, model));
    expect(run.at(-1)).toHaveProperty('artifacts');
    const before = allocated();
    await workerThat('let the model go', pool, ({ models }) => models.length === 0);
    return before;
  };
  try {
    await withPool(pool, async () => {
      await drawAndLeave();
      const { pid } = pool.list()[0]!;
      delete process.env['SAFELIGHT_FAULT_RULES'];
      const ill = await workerThat('is replaced', pool, ({ reason }) => /memory did not come back/.test(reason ?? ''));
      expect(ill.reason).toMatch(/: \d+ MiB before heavy \(\d+ MiB\) left, \d+ MiB after$/);
      await workerThat('is another', pool, (worker) => worker.state === 'ready' && worker.pid !== pid);
      const before = await drawAndLeave();
      await eventually('the memory came back', () => Promise.resolve(before - allocated() > 2 ** 25 ? true : null));
      expect(pool.list()[0]).toMatchObject({ restarts: 1, reason: null });
    });
  } finally {
    delete process.env['SAFELIGHT_FAULT_RULES'];
  }
});
