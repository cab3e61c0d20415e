import { readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { OPERATOR } from '../domain/access/caller.js';
import type { DispatchingNode } from '../../test/support/dispatch.js';
import { DONE, leaveCheckpoint, startNode } from '../../test/support/dispatch.js';
import type { Script } from '../../test/support/scripted-worker.js';
import { firstAborted, ScriptedPool, ScriptedWorker } from '../../test/support/scripted-worker.js';
import { failure } from '../domain/failure/failure.js';
import { CancelJob } from '../jobs/cancel/cancel-job.js';
import { ArtifactStoreUnavailableError } from '../jobs/ports/artifact-store.port.js';
import { spentAttempts } from '../domain/failure/decide-next.js';
import { SystemClock } from '../system-clock.js';
import type { AttemptEvent } from './ports/worker-pool.port.js';

const DENOISES: AttemptEvent = { type: 'phase', phase: 'denoise' };
const LOST: AttemptEvent = {
  type: 'failed',
  failure: failure('worker_lost', 'it died', { phase: 'denoise', step: 7 }),
};

describe('Checkpoints', () => {
  let node: DispatchingNode;
  afterEach(() => node.close());

  /** Plays one script per attempt; the last one again and again. */
  async function setUp(...attempts: Script[]): Promise<ScriptedWorker> {
    const worker: ScriptedWorker = new ScriptedWorker('a', (...told) =>
      attempts[Math.min(worker.plans.length, attempts.length) - 1]!(...told),
    );
    node = await startNode({ pool: new ScriptedPool([worker]) });
    return worker;
  }

  /** Leaves checkpoints at these steps, and ends when the last of them is in the row. */
  const marks = (steps: readonly number[], end: AttemptEvent): Script =>
    async function* (plan) {
      yield { type: 'accepted' };
      yield DENOISES;
      for (const step of steps) {
        yield { type: 'step', step, steps: 20 };
        yield { type: 'checkpoint', checkpoint: await leaveCheckpoint(plan.stagingDir, step) };
      }
      const [id] = plan.attemptId.split('/');
      await node.once(id!, ({ checkpoint }) => checkpoint?.step === steps.at(-1));
      yield end;
    };
  const succeeds: Script = async function* () {
    await Promise.resolve();
    yield DONE;
  };
  const filesOf = (id: string) =>
    readdir(join(node.folder, 'artifacts', id, 'checkpoints')).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });

  it('has the next attempt go on from the last one, and keeps no other', async () => {
    let read = '';
    let kept: readonly string[] = [];
    const worker = await setUp(marks([3, 6], LOST), async function* (plan) {
      read = await readFile(plan.resumeFrom ?? '', 'utf8');
      kept = await filesOf(plan.attemptId.split('/')[0]!);
      yield DENOISES;
      yield { ...DONE, effective: { resumed_at_step: 6 } };
    });
    const job = await node.final(await node.submit());
    expect(read).toBe('the state at step 6');
    expect(kept).toHaveLength(1);
    expect(worker.plans[0]?.resumeFrom).toBeNull();
    expect(job).toMatchObject({
      state: 'succeeded',
      checkpoint: null,
      attempts: [{ resumedFromStep: null }, { resumedFromStep: 6, step: 6 }],
    });
    expect(await filesOf(job.id)).toEqual([]);
  });

  it('begins at the beginning when the checkpoint is gone', async () => {
    const removing: Script = async function* (plan) {
      yield DENOISES;
      yield { type: 'checkpoint', checkpoint: await leaveCheckpoint(plan.stagingDir, 3) };
      const [id] = plan.attemptId.split('/');
      await node.once(id!, ({ checkpoint }) => checkpoint !== null);
      await rm(join(node.folder, 'artifacts', id!, 'checkpoints'), { recursive: true });
      yield LOST;
    };
    const worker = await setUp(removing, succeeds);
    const job = await node.final(await node.submit());
    expect(worker.plans.map(({ resumeFrom }) => resumeFrom)).toEqual([null, null]);
    expect(job).toMatchObject({ state: 'succeeded', attempts: [{}, { resumedFromStep: null }] });
  });

  it('tries without a checkpoint that the worker refuses', async () => {
    const refusal = failure('invalid_request', 'the checkpoint is damaged', { field: 'checkpoint' });
    const refuses: Script = async function* () {
      await Promise.resolve();
      yield { type: 'failed', failure: refusal };
    };
    const worker = await setUp(marks([3], LOST), refuses, succeeds);
    const job = await node.final(await node.submit());
    expect(worker.plans.map(({ resumeFrom }) => resumeFrom !== null)).toEqual([false, true, false]);
    expect(job.state).toBe('succeeded');
    expect(await filesOf(job.id)).toEqual([]);
  });

  it('keeps that of a suspended attempt before the job is queued again, and counts no attempt', async () => {
    const suspended: Script = async function* (plan) {
      yield DENOISES;
      yield { type: 'suspended', checkpoint: await leaveCheckpoint(plan.stagingDir, 4) };
    };
    const worker = await setUp(suspended, succeeds);
    const job = await node.final(await node.submit());
    expect(worker.plans.map(({ resumeFrom }) => resumeFrom !== null)).toEqual([false, true]);
    expect(job.attempts).toMatchObject([
      { outcome: 'returned', failure: null },
      { outcome: 'succeeded', resumedFromStep: 4 },
    ]);
    expect(spentAttempts(job.attempts, { kind: 'internal', phase: null })).toBe(1);
  });

  it('leaves the one there was when a resumed attempt is suspended before its first step', async () => {
    const suspended: Script = async function* () {
      await Promise.resolve();
      yield { type: 'suspended', checkpoint: null };
    };
    let read = '';
    await setUp(marks([3], LOST), suspended, async function* (plan) {
      read = await readFile(plan.resumeFrom ?? '', 'utf8');
      yield DONE;
    });
    const job = await node.final(await node.submit());
    expect(read).toBe('the state at step 3');
    expect(job.state).toBe('succeeded');
  });

  it('keeps that of an attempt that ran out of memory', async () => {
    const full: Script = async function* (plan) {
      yield DENOISES;
      const checkpoint = await leaveCheckpoint(plan.stagingDir, 5);
      yield { type: 'failed', failure: failure('device_out_of_memory', 'no room', { phase: 'denoise', checkpoint }) };
    };
    const worker = await setUp(full, succeeds);
    const job = await node.final(await node.submit());
    expect(job.attempts[1]?.resumedFromStep).toBe(5);
    expect(worker.plans[1]?.resumeFrom).not.toBeNull();
  });

  it('does not disturb an attempt whose checkpoints cannot be kept; the next one begins at the beginning', async () => {
    const worker = await setUp(async function* (plan) {
      yield DENOISES;
      yield { type: 'checkpoint', checkpoint: await leaveCheckpoint(plan.stagingDir, 3) };
      yield { type: 'step', step: 4, steps: 20 };
      yield LOST;
    }, succeeds);
    node.artifacts.keepCheckpoint = () => Promise.reject(new ArtifactStoreUnavailableError('the disk is full'));
    const job = await node.final(await node.submit());
    expect(job).toMatchObject({
      state: 'succeeded',
      attempts: [{ failure: { kind: 'worker_lost' } }, { outcome: 'succeeded' }],
    });
    expect(worker.plans[1]?.resumeFrom).toBeNull();
  });

  it('keeps one at a time, the newest next, and holds up no event meanwhile', async () => {
    const disk = Promise.withResolvers<void>();
    const kept: string[] = [];
    await setUp(async function* (plan) {
      yield DENOISES;
      for (const step of [1, 2, 3]) {
        yield { type: 'checkpoint', checkpoint: await leaveCheckpoint(plan.stagingDir, step) };
      }
      yield { type: 'step', step: 20, steps: 20 };
      const [id] = plan.attemptId.split('/');
      await node.once(id!, ({ progress }) => progress?.step === 20);
      expect(kept).toHaveLength(1);
      disk.resolve();
      await node.once(id!, ({ checkpoint }) => checkpoint?.step === 3);
      yield DONE;
    });
    const keep = node.artifacts.keepCheckpoint.bind(node.artifacts);
    node.artifacts.keepCheckpoint = async (attempt, fileName) => {
      kept.push(fileName);
      await disk.promise;
      return keep(attempt, fileName);
    };
    expect((await node.final(await node.submit())).state).toBe('succeeded');
    expect(kept).toEqual(['step-1.safetensors', 'step-3.safetensors']);
  });

  it('removes that of a job that is cancelled', async () => {
    const waits: Script = async function* (plan, signal) {
      yield DENOISES;
      yield { type: 'checkpoint', checkpoint: await leaveCheckpoint(plan.stagingDir, 3) };
      await firstAborted({ signal });
      yield { type: 'cancelled' };
    };
    await setUp(waits);
    const id = await node.submit();
    await node.once(id, ({ checkpoint }) => checkpoint?.step === 3);
    expect(await filesOf(id)).toHaveLength(1);
    await new CancelJob(node.store, node.events, new SystemClock()).cancel(id, OPERATOR);
    await node.final(id);
    await node.dispatcher.stop(1000);
    expect(await filesOf(id)).toEqual([]);
  });
});
