import type { AnyJson } from '../../../test/support/api.js';
import { artifact, attemptRecord, generationRequest, job, NOON, progress } from '../../../test/support/jobs.js';
import { failure } from '../../domain/failure/failure.js';
import type { Attempt } from '../../domain/job/job.js';
import { JOB_STATES } from '../../domain/job/job-state.js';
import { parseExactJson } from '../http/json/exact-json.js';
import { JobSchema } from './dto/job-schemas.js';
import { jobView } from './job-view.js';

const ID = job().id;

/** The view as a client reads it. */
function shown(snapshot: Parameters<typeof jobView>[0]): AnyJson {
  return parseExactJson(JSON.stringify(jobView(snapshot)));
}

describe('jobView', () => {
  it('shows a waiting job with every field, null where there is nothing', () => {
    expect(shown({ job: job(), queuePosition: 3, waitingFor: 'capacity' })).toEqual({
      id: ID,
      object: 'job',
      state: 'queued',
      priority: 'normal',
      model: 'shapes',
      queue_position: 3,
      created_at: '2026-11-21T12:00:00.000Z',
      started_at: null,
      finished_at: null,
      progress: null,
      request: { ...generationRequest(), seed: 9223372036854775807n },
      attempts: [],
      artifacts: [],
      degradations: [],
      effective: null,
      waiting_for: 'capacity',
      failure: null,
      links: { self: `/v1/jobs/${ID}`, events: `/v1/jobs/${ID}/events`, cancel: `/v1/jobs/${ID}/cancel` },
    });
  });

  it('shows what became of a job: attempts, rungs, pictures', () => {
    const lost = failure('worker_lost', 'The worker died.', { phase: 'denoise', step: 7, detail: 'Traceback: secret' });
    const rung = {
      rung: 'vae_tiling',
      fidelity: 'equivalent',
      cause: 'device_out_of_memory',
      attempt: 2,
      at: NOON,
    } as const;
    const failed: Attempt = {
      ...attemptRecord({ outcome: 'failed', failure: lost, step: 7 }),
      number: 1,
      node: 'here',
      startedAt: NOON,
    };
    const second: Attempt = {
      ...attemptRecord({ degradations: [rung] }),
      number: 2,
      node: 'there',
      startedAt: NOON + 1_000,
    };
    const done = job({
      state: 'succeeded',
      startedAt: NOON,
      finishedAt: NOON + 2_000,
      progress: progress(),
      attempts: [failed, second],
      degradations: [rung],
      artifacts: [artifact()],
      effective: { dtype: 'float32' },
      failure: lost,
    });
    const view = shown({ job: done, queuePosition: null, waitingFor: null });
    const shownFailure = { kind: 'worker_lost', phase: 'denoise', step: 7, message: 'The worker died.', field: null };
    const shownRung = { ...rung, at: '2026-11-21T12:00:00.000Z' };
    expect(view).toMatchObject({
      state: 'succeeded',
      finished_at: '2026-11-21T12:00:02.000Z',
      progress: { phase: 'denoise', step: 7, steps: 20, fraction: 1, eta_ms: 0 },
      degradations: [shownRung],
      effective: { dtype: 'float32' },
      failure: shownFailure,
    });
    expect(view.attempts[0]).toEqual({
      number: 1,
      node: 'here',
      worker: 'cpu:0#1',
      device: 'cpu:0',
      started_at: '2026-11-21T12:00:00.000Z',
      finished_at: '2026-11-21T12:00:02.000Z',
      phase: 'save',
      step: 7,
      outcome: 'failed',
      failure: shownFailure,
      degradations: [],
      resumed_from_step: null,
      phases: [
        {
          name: 'denoise',
          started_at: '2026-11-21T12:00:00.100Z',
          finished_at: '2026-11-21T12:00:01.500Z',
          from_step: 0,
          to_step: 20,
          peak_memory_bytes: 5_000_000_000,
        },
      ],
      peak_memory_bytes: 5_000_000_000,
    });
    expect(view.attempts[1].degradations).toEqual([shownRung]);
    expect(view.artifacts).toEqual([
      {
        index: 0,
        url: `/v1/jobs/${ID}/artifacts/0`,
        media_type: 'image/png',
        width: 64,
        height: 64,
        bytes: 7_312,
        sha256: artifact().sha256,
        seed: 9223372036854775807n,
      },
    ]);
  });

  it('keeps tracebacks and storage keys to itself', () => {
    const lost = failure('internal', 'It failed.', { detail: 'Traceback: secret' });
    const attempt: Attempt = { ...attemptRecord({ failure: lost }), number: 1, node: 'here', startedAt: NOON };
    const text = JSON.stringify(
      jobView({
        job: job({ failure: lost, attempts: [attempt], artifacts: [artifact()] }),
        queuePosition: null,
        waitingFor: null,
      }),
    );
    expect(text).not.toContain('secret');
    expect(text).not.toContain(artifact().key);
  });

  it.each([
    ['succeeded', { fraction: 1, eta_ms: 0 }],
    ['failed', { fraction: 0.41, eta_ms: 900 }],
    ['running', { fraction: 0.41, eta_ms: 900 }],
  ] as const)('shows the whole way only when it was gone: %s', (state, expected) => {
    const view = shown({ job: job({ state, progress: progress() }), queuePosition: null, waitingFor: null });
    expect(view.progress).toMatchObject(expected);
  });

  it.each(JOB_STATES)('fits its schema in the state %s', (state) => {
    const view = shown({ job: job({ state, progress: progress() }), queuePosition: null, waitingFor: null });
    expect(JobSchema.strict().parse(view)).toEqual(view);
  });

  it('shows the rungs in force, not all that attempts stood on', () => {
    const rung = { rung: 'vae_tiling', fidelity: 'equivalent', cause: 'predicted', attempt: 1, at: NOON } as const;
    const attempt = { ...attemptRecord({ degradations: [rung] }), number: 1, node: 'here', startedAt: NOON };
    const snapshot = { queuePosition: null, waitingFor: null };
    expect(shown({ ...snapshot, job: job({ attempts: [attempt] }) }).degradations).toEqual([]);
    expect(shown({ ...snapshot, job: job({ attempts: [attempt], degradations: [rung] }) }).degradations).toHaveLength(
      1,
    );
  });
});
