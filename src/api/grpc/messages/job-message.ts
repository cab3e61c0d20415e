import type { Degradation as DegradationTaken } from '../../../domain/degradation/degradation.js';
import type { Failure as JobFailure } from '../../../domain/failure/failure.js';
import type {
  Artifact as StoredArtifact,
  Attempt as JobAttempt,
  Progress as JobProgress,
} from '../../../domain/job/job.js';
import type { PhaseTiming as PhaseTime } from '../../../domain/job/phase.js';
import { whole } from '../../../domain/job/progress.js';
import type {
  Artifact,
  Attempt,
  Degradation,
  Failure,
  Job,
  PhaseTiming,
  Progress,
} from '../../../gen/safelight/v1/safelight.pb.js';
import { Phase } from '../../../gen/safelight/v1/safelight.pb.js';
import type { JobSnapshot } from '../../../jobs/query/query-jobs.js';
import { FIDELITY, JOB_STATE, PHASE } from './enums.js';
import { requestMessage } from './request-message.js';
import { dateOf, durationOf } from './times.js';
import { memoryMessage } from './worker-message.js';

/** A job in the words of the wire. */
export function jobMessage({ job, queuePosition, waitingFor }: JobSnapshot): Job {
  const progress = job.progress !== null && job.state === 'succeeded' ? whole(job.progress) : job.progress;
  return {
    id: job.id,
    state: JOB_STATE[job.state],
    request: requestMessage(job.request),
    createdAt: new Date(job.createdAt),
    startedAt: dateOf(job.startedAt),
    finishedAt: dateOf(job.finishedAt),
    queuePosition: queuePosition ?? undefined,
    progress: progress === null ? undefined : progressMessage(progress),
    attempts: job.attempts.map(attemptMessage),
    artifacts: job.artifacts.map(artifactMessage),
    degradations: job.degradations.map(degradationMessage),
    effective: job.effective === null ? undefined : { ...job.effective },
    waitingFor: waitingFor ?? undefined,
    failure: failureMessage(job.failure),
  };
}

export function progressMessage({ phase, step, steps, fraction, etaMs }: JobProgress): Progress {
  return { phase: PHASE[phase], step, steps, fraction, eta: etaMs === null ? undefined : durationOf(etaMs) };
}

export function artifactMessage({ index, mediaType, width, height, bytes, sha256, seed }: StoredArtifact): Artifact {
  return { index, mediaType, width, height, sizeBytes: String(bytes), sha256, seed };
}

function attemptMessage(attempt: JobAttempt): Attempt {
  return {
    number: attempt.number,
    node: attempt.node ?? '',
    worker: attempt.worker ?? '',
    device: attempt.device ?? '',
    startedAt: new Date(attempt.startedAt),
    finishedAt: dateOf(attempt.finishedAt),
    phase: attempt.phase === null ? Phase.PHASE_UNSPECIFIED : PHASE[attempt.phase],
    step: attempt.step,
    outcome: attempt.outcome,
    failure: failureMessage(attempt.failure),
    phases: attempt.phases.map(phaseMessage),
    peakMemoryBytes: String(attempt.peakMemoryBytes ?? 0),
    resumedFromStep: attempt.resumedFromStep ?? undefined,
    degradations: attempt.degradations.map(degradationMessage),
    memory: memoryMessage(attempt.memory),
  };
}

function phaseMessage(phase: PhaseTime): PhaseTiming {
  return {
    phase: PHASE[phase.name],
    startedAt: new Date(phase.startedAt),
    finishedAt: dateOf(phase.finishedAt),
    peakMemoryBytes: String(phase.peakMemoryBytes ?? 0),
    fromStep: phase.fromStep ?? undefined,
    toStep: phase.toStep ?? undefined,
  };
}

function degradationMessage({ rung, fidelity, cause, attempt, at }: DegradationTaken): Degradation {
  return { rung, fidelity: FIDELITY[fidelity], cause, attempt, at: new Date(at) };
}

/** Without the traceback: that is for the debug record. */
function failureMessage(failure: JobFailure | null): Failure | undefined {
  if (failure === null) return undefined;
  const { kind, phase, step, message, field = '' } = failure;
  return { kind, phase: phase === null ? Phase.PHASE_UNSPECIFIED : PHASE[phase], step, message, field };
}
