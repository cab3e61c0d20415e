import type { Counter, Histogram, Registry } from 'prom-client';

import type { Attempt, Job } from '../domain/job/job.js';
import { JOB_STATES, isFinal } from '../domain/job/job-state.js';
import type { JobEventBody } from '../domain/job/job-event.js';
import { PHASES } from '../domain/job/phase.js';
import { counter, histogram } from './make-metric.js';

/** Counts jobs when they become final, with all their attempts: then nothing of them changes any more. */
export class JobMetrics {
  private readonly finished: Counter<'state'>;
  private readonly wait: Histogram<'priority'>;
  private readonly total: Histogram<'model' | 'priority'>;
  private readonly images: Counter<'model'>;
  private readonly budgets: Counter<'within'>;
  private readonly attempts: Counter<'outcome' | 'failure_kind'>;
  private readonly retries: Counter<'failure_kind'>;
  private readonly resumes: Counter;
  private readonly steps: Counter<'model'>;
  private readonly phases: Histogram<'phase' | 'model'>;
  private readonly peaks: Histogram<'model'>;
  private readonly degradations: Counter<'rung' | 'fidelity'>;

  /** `models`: ids of those that are served, whose phases are told from the beginning. */
  constructor(registry: Registry, models: readonly string[]) {
    this.finished = counter(registry, 'safelight_jobs_finished_total');
    this.wait = histogram(registry, 'safelight_job_wait_seconds');
    this.total = histogram(registry, 'safelight_job_seconds');
    this.images = counter(registry, 'safelight_images_total');
    this.budgets = counter(registry, 'safelight_time_budgets_total');
    this.attempts = counter(registry, 'safelight_attempts_total');
    this.retries = counter(registry, 'safelight_retries_total');
    this.resumes = counter(registry, 'safelight_resumes_total');
    this.steps = counter(registry, 'safelight_steps_total');
    this.phases = histogram(registry, 'safelight_phase_seconds');
    this.peaks = histogram(registry, 'safelight_attempt_peak_memory_bytes');
    this.degradations = counter(registry, 'safelight_degradations_total');
    // A rate needs a first value: without it the first job of each kind would be no increase.
    for (const state of JOB_STATES.filter(isFinal)) this.finished.inc({ state }, 0);
    for (const within of ['true', 'false']) this.budgets.inc({ within }, 0);
    for (const model of models) for (const phase of PHASES) this.phases.zero({ phase, model });
  }

  countRung({ rung, fidelity }: Extract<JobEventBody, { type: 'degradation' }>): void {
    this.degradations.inc({ rung, fidelity });
  }

  countFinal(job: Job): void {
    const { state, request, createdAt, startedAt, finishedAt, artifacts } = job;
    const { model, priority, time_budget_ms: budgetMs } = request;
    this.finished.inc({ state });
    if (startedAt !== null) this.wait.observe({ priority }, (startedAt - createdAt) / 1000);
    if (finishedAt !== null) {
      const tookMs = finishedAt - createdAt;
      if (state === 'succeeded') this.total.observe({ model, priority }, tookMs / 1000);
      if (budgetMs !== null) this.budgets.inc({ within: String(state === 'succeeded' && tookMs <= budgetMs) });
    }
    if (state === 'succeeded') this.images.inc({ model }, artifacts.length);
    const last = job.attempts.at(-1);
    for (const attempt of job.attempts) this.countAttempt(attempt, model, attempt === last);
  }

  private countAttempt(attempt: Attempt, model: string, isLast: boolean): void {
    const { outcome, failure, phases, resumedFromStep, peakMemoryBytes } = attempt;
    const failureKind = failure?.kind ?? '';
    this.attempts.inc({ outcome, failure_kind: failureKind });
    if (outcome === 'failed' && !isLast) this.retries.inc({ failure_kind: failureKind });
    if (resumedFromStep !== null) this.resumes.inc();
    if (peakMemoryBytes !== null) this.peaks.observe({ model }, peakMemoryBytes);
    for (const { name, startedAt, finishedAt, fromStep, toStep } of phases) {
      if (finishedAt !== null) this.phases.observe({ phase: name, model }, Math.max(0, finishedAt - startedAt) / 1000);
      if (fromStep !== null && toStep !== null) this.steps.inc({ model }, Math.max(0, toStep - fromStep));
    }
  }
}
