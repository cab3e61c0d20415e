import type { Attempt, Job } from '../../domain/job/job.js';
import { parseTraceparent, jobSpanContext, spanIdOf } from './trace-context.js';
import type { SpanContext } from './trace-context.js';
import type { FinishedSpan } from './tracing.js';

/**
 * What a final job went through, as spans: the job below the request that submitted it; below the job each wait in the queue
 * and each attempt; below an attempt its phases. All of it is read from the row, so that any node can tell it, and attempts
 * that died with their node are among them. Empty: the job is not traced, or not final.
 */
export function spansOf(job: Job): FinishedSpan[] {
  const context = jobSpanContext(job.id, job.trace);
  const { finishedAt } = job;
  if (context === null || finishedAt === null) return [];
  return [
    jobSpan(job, context, finishedAt),
    ...waits(job, finishedAt).map(({ from, to, before }) => waitSpan(job, context, from, to, before)),
    ...job.attempts.flatMap((attempt) => attemptSpans(job, attempt, context, finishedAt)),
  ];
}

function jobSpan(job: Job, context: SpanContext, endedAt: number): FinishedSpan {
  const { id, state, request, attempts, failure, degradations } = job;
  return {
    context,
    parent: parseTraceparent(job.trace ?? undefined),
    name: 'job',
    kind: 'internal',
    startedAt: job.createdAt,
    endedAt,
    attributes: {
      'safelight.job.id': id,
      'safelight.job.state': state,
      'safelight.job.attempts': attempts.length,
      'safelight.job.priority': request.priority,
      'safelight.model': request.model,
      'safelight.width': request.width,
      'safelight.height': request.height,
      'safelight.steps': request.num_inference_steps,
      'safelight.images': request.num_images,
      'safelight.rungs': degradations.map(({ rung }) => rung),
      'safelight.failure.kind': failure?.kind,
    },
    error: state === 'failed' || state === 'expired' ? (failure?.kind ?? state) : null,
  };
}

interface Wait {
  readonly from: number;
  readonly to: number;
  /** Number of the attempt that ended it; null: there was none. */
  readonly before: number | null;
}

/** When nobody worked on the job. */
function waits({ createdAt, attempts }: Job, finishedAt: number): Wait[] {
  const begins = [createdAt, ...attempts.map((attempt) => attempt.finishedAt ?? finishedAt)];
  const ends = [...attempts.map(({ startedAt, number }) => ({ at: startedAt, before: number })), null];
  return begins
    .map((from, index): Wait => {
      const end = ends[index] ?? null;
      return { from, to: end?.at ?? finishedAt, before: end?.before ?? null };
    })
    .filter(({ from, to, before }) => to > from || before !== null);
}

function waitSpan(job: Job, parent: SpanContext, from: number, to: number, before: number | null): FinishedSpan {
  return {
    context: { ...parent, spanId: spanIdOf(job.id, 'wait', before ?? 'end') },
    parent,
    name: 'queue wait',
    kind: 'internal',
    startedAt: from,
    endedAt: Math.max(from, to),
    attributes: { 'safelight.job.id': job.id, 'safelight.attempt.number': before },
    error: null,
  };
}

function attemptSpans(job: Job, attempt: Attempt, parent: SpanContext, finishedAt: number): FinishedSpan[] {
  const { number, outcome, failure, phases } = attempt;
  const context = { ...parent, spanId: spanIdOf(job.id, 'attempt', number) };
  const ids = { 'safelight.job.id': job.id, 'safelight.attempt.number': number };
  const endedAt = attempt.finishedAt ?? finishedAt;
  const whole: FinishedSpan = {
    context,
    parent,
    name: 'attempt',
    kind: 'internal',
    startedAt: attempt.startedAt,
    endedAt,
    attributes: {
      ...ids,
      'safelight.attempt.outcome': outcome,
      'safelight.failure.kind': failure?.kind,
      'safelight.node': attempt.node,
      'safelight.worker': attempt.worker,
      'safelight.device': attempt.device,
      'safelight.model': job.request.model,
      'safelight.rungs': attempt.degradations.map(({ rung }) => rung),
      'safelight.step': attempt.step,
      'safelight.resumed_from_step': attempt.resumedFromStep,
      'safelight.peak_memory_bytes': attempt.peakMemoryBytes,
    },
    error: outcome === 'failed' || outcome === 'expired' ? (failure?.kind ?? outcome) : null,
  };
  const parts = phases.map((timing): FinishedSpan => ({
    context: { ...parent, spanId: spanIdOf(job.id, 'attempt', number, timing.name) },
    parent: context,
    name: timing.name,
    kind: 'internal',
    startedAt: timing.startedAt,
    endedAt: timing.finishedAt ?? endedAt,
    attributes: {
      ...ids,
      'safelight.from_step': timing.fromStep,
      'safelight.to_step': timing.toStep,
      'safelight.peak_memory_bytes': timing.peakMemoryBytes,
    },
    error: null,
  }));
  return [whole, ...parts];
}
