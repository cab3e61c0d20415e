import { attemptRecord, generationRequest, job as waitingJob, NOON } from '../../../test/support/jobs.js';
import { failure } from '../../domain/failure/failure.js';
import type { Attempt, Job } from '../../domain/job/job.js';
import { spansOf } from './job-spans.js';
import type { FinishedSpan } from './tracing.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const REQUEST = '00f067aa0ba902b7';

function job(changes: Partial<Job> = {}): Job {
  const trace = `00-${TRACE}-${REQUEST}-01`;
  return waitingJob({ state: 'succeeded', startedAt: NOON + 100, finishedAt: NOON + 2_000, trace, ...changes });
}

function attempt(changes: Partial<Attempt> = {}): Attempt {
  return { ...attemptRecord(), number: 1, node: 'one', startedAt: NOON + 100, ...changes };
}

/** Each span by its name and who it is below, with when it was, counted from noon. */
function tree(spans: readonly FinishedSpan[]): string[] {
  const names = new Map(spans.map(({ context, name }) => [context.spanId, name]));
  return spans.map(({ name, parent, startedAt, endedAt, error }) => {
    const below = names.get(parent?.spanId ?? '') ?? (parent?.spanId === REQUEST ? 'the request' : 'nobody');
    return `${name} < ${below} ${startedAt - NOON}–${endedAt - NOON}${error === null ? '' : ` (${error})`}`;
  });
}

describe('the spans of a job', () => {
  it('are the job, its wait, its attempt and the phases of that', () => {
    const spans = spansOf(job({ attempts: [attempt()] }));
    expect(tree(spans)).toEqual([
      'job < the request 0–2000',
      'queue wait < job 0–100',
      'attempt < job 100–2000',
      'denoise < attempt 100–1500',
    ]);
    expect(new Set(spans.map(({ context }) => context.traceId))).toEqual(new Set([TRACE]));
    expect(new Set(spans.map(({ context }) => context.spanId)).size).toBe(spans.length);
    expect(spans[2]?.attributes).toMatchObject({
      'safelight.job.id': '01a1fc57-d5c1-7938-ac1f-c0dda8c0662a',
      'safelight.attempt.number': 1,
      'safelight.attempt.outcome': 'succeeded',
      'safelight.node': 'one',
      'safelight.worker': 'cpu:0#1',
      'safelight.device': 'cpu:0',
      'safelight.model': 'shapes',
      'safelight.rungs': [],
    });
    expect(JSON.stringify(spans)).not.toContain(generationRequest().prompt);
  });

  it('tell of attempts that failed, here or with their node, and of the waits between', () => {
    const lost = failure('worker_lost', 'gone');
    const rung = { rung: 'vae_tiling', fidelity: 'equivalent', cause: 'predicted', attempt: 2, at: NOON } as const;
    const attempts = [
      attempt({ outcome: 'failed', failure: lost, finishedAt: NOON + 500, phases: [] }),
      attempt({ number: 2, node: 'two', startedAt: NOON + 900, degradations: [rung], resumedFromStep: 7, phases: [] }),
    ];
    const spans = spansOf(job({ attempts }));
    expect(tree(spans)).toEqual([
      'job < the request 0–2000',
      'queue wait < job 0–100',
      'queue wait < job 500–900',
      'attempt < job 100–500 (worker_lost)',
      'attempt < job 900–2000',
    ]);
    expect(spans[4]?.attributes).toMatchObject({
      'safelight.node': 'two',
      'safelight.rungs': ['vae_tiling'],
      'safelight.resumed_from_step': 7,
    });
  });

  it.each([
    ['cancelled', null, 'job < the request 0–2000'],
    ['expired', failure('deadline_exceeded', 'too late'), 'job < the request 0–2000 (deadline_exceeded)'],
  ] as const)('end with the wait for one that was %s in the queue', (state, why, first) => {
    const spans = spansOf(job({ state, failure: why, startedAt: null }));
    expect(tree(spans)).toEqual([first, 'queue wait < job 0–2000']);
    expect(spans[0]?.attributes['safelight.job.state']).toBe(state);
  });

  it('end a phase that was broken off with its attempt', () => {
    const broken = { ...attemptRecord().phases[0]!, finishedAt: null };
    const spans = spansOf(job({ state: 'failed', attempts: [attempt({ outcome: 'failed', phases: [broken] })] }));
    expect(tree(spans)).toContain('denoise < attempt 100–2000');
  });

  it.each([
    ['that is not traced', { trace: null }],
    ['whose request was not sampled', { trace: `00-${TRACE}-${REQUEST}-00` }],
    ['that is not final', { state: 'running', finishedAt: null } as const],
  ])('are none for one %s', (_case, changes) => {
    expect(spansOf(job(changes))).toEqual([]);
  });
});
