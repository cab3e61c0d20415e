import type { PreviewFrame } from '../../domain/job/job-event.js';
import type { JobSnapshot } from '../../jobs/query/query-jobs.js';
import { timestampOf } from './generation-answer.js';
import { TASK_KEY } from './tasks.js';

/** Answer of `/sdapi/v1/progress` for a caller's unfinished jobs, of which the first counts (modules/shared_state.py). */
export function progressView(jobs: readonly JobSnapshot[], frame: PreviewFrame | null): Record<string, unknown> {
  const job = jobs[0]?.job;
  const progress = job?.state === 'running' ? job.progress : null;
  const isStopped = job !== undefined && job.cancelRequestedAt !== null;
  return {
    progress: progress?.fraction ?? 0,
    eta_relative: (progress?.etaMs ?? 0) / 1000,
    state: {
      skipped: false,
      interrupted: isStopped,
      stopping_generation: isStopped,
      job: job?.request.metadata[TASK_KEY] ?? '',
      job_count: jobs.length,
      job_timestamp: job === undefined ? '0' : timestampOf(job.createdAt),
      job_no: 0,
      sampling_step: progress?.step ?? 0,
      sampling_steps: progress?.steps ?? 0,
    },
    current_image: frame === null ? null : Buffer.from(frame.data).toString('base64'),
    textinfo: jobs[0] === undefined ? null : textOf(jobs[0]),
  };
}

/** Answer of `/internal/progress` for one task (modules/progress.py). `known`: step of the frame the client has. */
export function taskView(
  snapshot: JobSnapshot | undefined,
  { isFinished, frame, known }: { isFinished: boolean; frame: PreviewFrame | null; known: number },
): Record<string, unknown> {
  const isActive = snapshot?.job.state === 'running';
  const progress = isActive ? snapshot.job.progress : null;
  const isNew = frame !== null && frame.step !== known;
  return {
    active: isActive,
    queued: snapshot !== undefined && !isActive,
    completed: snapshot === undefined && isFinished,
    progress: isActive ? (progress?.fraction ?? 0) : null,
    eta: progress?.etaMs == null ? null : progress.etaMs / 1000,
    live_preview: isNew ? `data:${frame.mediaType};base64,${Buffer.from(frame.data).toString('base64')}` : null,
    id_live_preview: frame?.step ?? known,
    textinfo: snapshot === undefined ? 'Waiting...' : textOf(snapshot),
  };
}

function textOf({ job, queuePosition }: JobSnapshot): string {
  if (job.state === 'running') return job.progress === null ? 'Starting...' : `${job.progress.phase}...`;
  return queuePosition === null ? 'Waiting...' : `In queue: ${queuePosition}`;
}
