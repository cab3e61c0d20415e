import type { Degradation } from '../../domain/degradation/degradation.js';
import type { Failure } from '../../domain/failure/failure.js';
import type { GenerationRequest } from '../../domain/generation/generation-request.js';
import type { Artifact, Attempt, Progress } from '../../domain/job/job.js';
import type { PhaseTiming } from '../../domain/job/phase.js';
import { whole } from '../../domain/job/progress.js';
import type { JobSnapshot } from '../../jobs/query/query-jobs.js';
import { exactInteger } from '../http/json/exact-json.js';
import type { JobView } from './dto/job-schemas.js';
import { timeView, timeViewOrNull } from './dto/view-types.js';
import { artifactPath, jobPath } from './paths.js';

type AttemptView = JobView['attempts'][number];

/** A job in the words of the API. */
export function jobView({ job, queuePosition, waitingFor }: JobSnapshot): JobView {
  const self = jobPath(job.id);
  return {
    id: job.id,
    object: 'job',
    state: job.state,
    priority: job.request.priority,
    model: job.request.model,
    queue_position: queuePosition,
    created_at: timeView(job.createdAt),
    started_at: timeViewOrNull(job.startedAt),
    finished_at: timeViewOrNull(job.finishedAt),
    progress:
      job.progress === null ? null : progressView(job.state === 'succeeded' ? whole(job.progress) : job.progress),
    request: requestView(job.request),
    attempts: job.attempts.map(attemptView),
    artifacts: job.artifacts.map((artifact) => artifactView(job.id, artifact)),
    degradations: job.degradations.map(degradationView),
    effective: job.effective,
    waiting_for: waitingFor,
    failure: failureView(job.failure),
    links: { self, events: `${self}/events`, cancel: `${self}/cancel` },
  };
}

export function progressView(progress: Progress): NonNullable<JobView['progress']> {
  const { phase, step, steps, fraction, etaMs } = progress;
  return { phase, step, steps, fraction, eta_ms: etaMs };
}

function requestView(request: GenerationRequest): JobView['request'] {
  return {
    ...request,
    seed: exactInteger(request.seed),
    scheduler_options: { ...request.scheduler_options },
    controls: request.controls?.map((control) => ({ ...control })),
    loras: request.loras?.map((lora) => ({ ...lora })),
    start_by: timeViewOrNull(request.start_by),
    finish_by: timeViewOrNull(request.finish_by),
  };
}

function attemptView(attempt: Attempt): AttemptView {
  return {
    number: attempt.number,
    node: attempt.node,
    worker: attempt.worker,
    device: attempt.device,
    started_at: timeView(attempt.startedAt),
    finished_at: timeViewOrNull(attempt.finishedAt),
    phase: attempt.phase,
    step: attempt.step,
    outcome: attempt.outcome,
    failure: failureView(attempt.failure),
    degradations: attempt.degradations.map(degradationView),
    resumed_from_step: attempt.resumedFromStep,
    phases: attempt.phases.map(phaseView),
    peak_memory_bytes: attempt.peakMemoryBytes,
  };
}

function phaseView(phase: PhaseTiming): AttemptView['phases'][number] {
  return {
    name: phase.name,
    started_at: timeView(phase.startedAt),
    finished_at: timeViewOrNull(phase.finishedAt),
    from_step: phase.fromStep,
    to_step: phase.toStep,
    peak_memory_bytes: phase.peakMemoryBytes,
  };
}

function artifactView(jobId: string, artifact: Artifact): JobView['artifacts'][number] {
  const { index, mediaType, width, height, bytes, sha256, seed } = artifact;
  const url = artifactPath(jobId, index);
  return { index, url, media_type: mediaType, width, height, bytes, sha256, seed: exactInteger(seed) };
}

export function degradationView({ rung, fidelity, cause, attempt, at }: Degradation): JobView['degradations'][number] {
  return { rung, fidelity, cause, attempt, at: timeView(at) };
}

/** Without the traceback: that is for the debug record. */
export function failureView(failure: Failure | null): JobView['failure'] {
  if (failure === null) return null;
  const { kind, phase, step, message, field = null } = failure;
  return { kind, phase, step, message, field };
}
