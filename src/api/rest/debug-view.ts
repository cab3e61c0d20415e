import type { PromptsInLog } from '../../config/log.config.js';
import type { Failure } from '../../domain/failure/failure.js';
import type { Attempt } from '../../domain/job/job.js';
import type { WorkerDescription } from '../../domain/placement/worker-description.js';
import type { JobSnapshot } from '../../jobs/query/query-jobs.js';
import { promptHider } from '../../telemetry/hide-prompts.js';
import { VERSION } from '../../telemetry/version.js';
import type { DebugView } from './dto/debug-schemas.js';
import { degradationView, failureView, jobView } from './job-view.js';
import { memoryView } from './worker-view.js';

type DebugAttemptView = DebugView['attempts'][number];

/** All that is recorded of a job, tracebacks included. `workers` tell of the versions attempts ran with. */
export function debugView(
  snapshot: JobSnapshot,
  workers: readonly WorkerDescription[],
  prompts: PromptsInLog,
): DebugView {
  const view = wholeView(snapshot, workers);
  // It is made to be sent to others.
  return prompts === 'shown' ? view : promptHider(snapshot.job.request)(view);
}

function wholeView(snapshot: JobSnapshot, workers: readonly WorkerDescription[]): DebugView {
  const { attempts, solo, avoids, checkpoint } = snapshot.job;
  return {
    object: 'debug_record',
    version: VERSION,
    job: jobView(snapshot),
    attempts: attempts.map((attempt) => attemptView(attempt, workers)),
    next_attempt: {
      alone: solo,
      avoids: [...avoids],
      checkpoint: checkpoint && { step: checkpoint.step, bytes: checkpoint.bytes, attempt: checkpoint.attempt },
    },
  };
}

function attemptView(attempt: Attempt, workers: readonly WorkerDescription[]): DebugAttemptView {
  const { number, node, worker, device, outcome, failure, memory, peakMemoryBytes, resumedFromStep } = attempt;
  return {
    number,
    node,
    worker,
    device,
    outcome,
    failure: failureDetail(failure),
    memory: memoryView(memory),
    peak_memory_bytes: peakMemoryBytes,
    degradations: attempt.degradations.map(degradationView),
    resumed_from_step: resumedFromStep,
    versions: workers.find((known) => known.node === node && known.id === worker)?.versions ?? null,
  };
}

function failureDetail(failure: Failure | null): DebugAttemptView['failure'] {
  const shown = failureView(failure);
  if (failure === null || shown === null) return null;
  const { detail = null, requestedBytes = null, freeBytes = null } = failure;
  return { ...shown, detail, requested_bytes: requestedBytes, free_bytes: freeBytes };
}
