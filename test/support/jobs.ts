import { uuidv7 } from 'uuidv7';
import type { GenerationRequest } from '../../src/domain/generation/generation-request.js';
import type { Artifact, Job, Progress } from '../../src/domain/job/job.js';
import type { AttemptRecord, Claimer, NewJob } from '../../src/jobs/ports/job-store.port.js';

/** A moment the tests count from; no store reads a clock. */
export const NOON = Date.UTC(2026, 10, 21, 12);

export function generationRequest(changes: Partial<GenerationRequest> = {}): GenerationRequest {
  return {
    model: 'shapes',
    prompt: 'a red square left of a blue circle',
    negative_prompt: '',
    width: 64,
    height: 64,
    num_inference_steps: 20,
    guidance_scale: 7.5,
    num_images: 1,
    seed: '9223372036854775807',
    scheduler: 'DPMSolverMultistepScheduler',
    scheduler_options: { use_karras_sigmas: true },
    priority: 'normal',
    output_format: 'png',
    exact: false,
    max_degradation: 'equivalent',
    start_by: null,
    finish_by: null,
    time_budget_ms: null,
    webhook: null,
    metadata: {},
    ...changes,
  };
}

/** A job to submit at noon; `request` names only what differs. */
export function newJob({
  request,
  ...changes
}: Partial<Omit<NewJob, 'request'>> & { request?: Partial<GenerationRequest> } = {}): NewJob {
  return {
    id: uuidv7(),
    client: '',
    runAt: null,
    createdAt: NOON,
    trace: null,
    ...changes,
    request: generationRequest(request),
  };
}

/** A job that waits since noon. */
export function job(changes: Partial<Job> = {}): Job {
  return {
    id: '01a1fc57-d5c1-7938-ac1f-c0dda8c0662a',
    state: 'queued',
    request: generationRequest(),
    createdAt: NOON,
    startedAt: null,
    finishedAt: null,
    runAt: null,
    cancelRequestedAt: null,
    client: '',
    node: null,
    degradations: [],
    solo: false,
    avoids: [],
    checkpoint: null,
    progress: null,
    attempts: [],
    artifacts: [],
    effective: null,
    failure: null,
    trace: null,
    ...changes,
  };
}

/** A node with one worker, which claims for a minute; a test names what differs. */
export function claimer(changes: Partial<Claimer> = {}): Claimer {
  const placement = { worker: 'cpu-0', device: 'cpu:0' };
  return { node: 'node-1', nodeName: 'one', worker: 'one/cpu-0', placement, leaseMs: 60_000, ...changes };
}

export function progress(changes: Partial<Progress> = {}): Progress {
  return { phase: 'denoise', step: 7, steps: 20, fraction: 0.41, etaMs: 900, ...changes };
}

/** What a successful attempt amounted to; a test names what differs. */
export function attemptRecord(changes: Partial<AttemptRecord> = {}): AttemptRecord {
  return {
    worker: 'cpu:0#1',
    device: 'cpu:0',
    finishedAt: NOON + 2_000,
    phase: 'save',
    step: 20,
    outcome: 'succeeded',
    failure: null,
    phases: [
      {
        name: 'denoise',
        startedAt: NOON + 100,
        finishedAt: NOON + 1_500,
        fromStep: 0,
        toStep: 20,
        peakMemoryBytes: 5_000_000_000,
      },
    ],
    peakMemoryBytes: 5_000_000_000,
    degradations: [],
    resumedFromStep: null,
    memory: null,
    ...changes,
  };
}

export function artifact(index = 0): Artifact {
  return {
    index,
    key: `2026/11/21/${index}.png`,
    mediaType: 'image/png',
    width: 64,
    height: 64,
    bytes: 7_312,
    sha256: index.toString(16).padStart(64, 'a'),
    seed: '9223372036854775807',
  };
}
