import { Injectable } from '@nestjs/common';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

import { isFinal, JOB_STATES } from '../domain/job/job-state.js';
import { PHASES } from '../domain/job/phase.js';
import { WORKER_STATES } from '../domain/placement/worker-state.js';
import { JobEvents } from '../jobs/ports/job-events.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import { WorkerInventory } from '../jobs/ports/worker-inventory.port.js';

/** Seconds. From a tiny model's picture to a large one behind a long queue. */
const SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

/** What is counted, in Prometheus' form. Names and labels use the words of the API. */
@Injectable()
export class Metrics {
  private readonly registry = new Registry();
  private readonly finished: Counter<'state'>;
  private readonly attempts: Counter<'outcome' | 'failure_kind'>;
  private readonly budgets: Counter<'within'>;
  private readonly retries: Counter<'failure_kind'>;
  private readonly degradations: Counter<'rung' | 'fidelity'>;
  private readonly wait: Histogram;
  private readonly total: Histogram;
  private readonly phases: Histogram<'phase'>;

  constructor(
    private readonly events: JobEvents,
    private readonly store: JobStore,
    private readonly workers: WorkerInventory,
  ) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry, prefix: 'safelight_' });
    this.finished = new Counter({
      name: 'safelight_jobs_finished_total',
      help: 'Jobs that became final.',
      labelNames: ['state'],
      registers,
    });
    this.attempts = new Counter({
      name: 'safelight_attempts_total',
      help: 'Attempts that ended, of jobs that are final.',
      labelNames: ['outcome', 'failure_kind'],
      registers,
    });
    this.wait = new Histogram({
      name: 'safelight_job_wait_seconds',
      help: 'From submission to the first claim.',
      buckets: SECONDS,
      registers,
    });
    this.total = new Histogram({
      name: 'safelight_job_seconds',
      help: 'From submission to success.',
      buckets: SECONDS,
      registers,
    });
    this.phases = new Histogram({
      name: 'safelight_phase_seconds',
      help: 'Time an attempt was in a phase; attempts overlap.',
      labelNames: ['phase'],
      buckets: SECONDS,
      registers,
    });
    this.budgets = new Counter({
      name: 'safelight_time_budgets_total',
      help: 'Final jobs that had a time budget, by whether they succeeded within it.',
      labelNames: ['within'],
      registers,
    });
    this.retries = new Counter({
      name: 'safelight_retries_total',
      help: 'Failed attempts that another attempt followed, of jobs that are final.',
      labelNames: ['failure_kind'],
      registers,
    });
    this.degradations = new Counter({
      name: 'safelight_degradations_total',
      help: 'Rungs of the degradation ladder that jobs took.',
      labelNames: ['rung', 'fidelity'],
      registers,
    });
    this.gauges();
  }

  /** Begins to count what this node published: the others count theirs. Returns how to stop. */
  start(): () => void {
    return this.events.onAny(({ jobId, body }, origin) => {
      if (origin === 'elsewhere') return;
      if (body.type === 'state' && isFinal(body.state)) void this.count(jobId);
      if (body.type === 'degradation') this.degradations.inc({ rung: body.rung, fidelity: body.fidelity });
    });
  }

  async render(): Promise<{ contentType: string; body: string }> {
    return { contentType: this.registry.contentType, body: await this.registry.metrics() };
  }

  private async count(jobId: string): Promise<void> {
    // A metric is no reason to disturb a job: when the store cannot answer, one job is missing from the counts.
    const job = await this.store.get(jobId).catch(() => null);
    if (job === null) return;
    this.finished.inc({ state: job.state });
    if (job.startedAt !== null) this.wait.observe((job.startedAt - job.createdAt) / 1000);
    if (job.state === 'succeeded' && job.finishedAt !== null)
      this.total.observe((job.finishedAt - job.createdAt) / 1000);
    const { time_budget_ms: budget } = job.request;
    if (budget !== null && job.finishedAt !== null) {
      const within = job.state === 'succeeded' && job.finishedAt - job.createdAt <= budget;
      this.budgets.inc({ within: String(within) });
    }
    const last = job.attempts.at(-1);
    for (const attempt of job.attempts) {
      const { outcome, failure, phases } = attempt;
      this.attempts.inc({ outcome, failure_kind: failure?.kind ?? '' });
      if (outcome === 'failed' && attempt !== last) this.retries.inc({ failure_kind: failure?.kind ?? '' });
      for (const { name, startedAt, finishedAt } of phases) {
        if (finishedAt !== null) this.phases.observe({ phase: name }, (finishedAt - startedAt) / 1000);
      }
    }
  }

  /** What is read at the moment of asking. */
  private gauges(): void {
    const { store, workers, registry } = this;
    new Gauge({
      name: 'safelight_jobs',
      help: 'Jobs in the store, by state.',
      labelNames: ['state'],
      registers: [registry],
      async collect() {
        const counts = await store.countByState();
        for (const state of JOB_STATES) this.set({ state }, counts[state]);
      },
    });
    new Gauge({
      name: 'safelight_workers',
      help: 'Workers by state.',
      labelNames: ['state'],
      registers: [registry],
      collect() {
        const states = workers.list().map(({ state }) => state);
        for (const state of WORKER_STATES) this.set({ state }, states.filter((found) => found === state).length);
      },
    });
    new Gauge({
      name: 'safelight_device_memory_bytes',
      help: 'Memory of a device as its worker last told.',
      labelNames: ['device', 'kind'],
      registers: [registry],
      collect() {
        for (const { device, memory } of workers.list()) {
          if (memory === null) continue;
          this.set({ device: device.id, kind: 'total' }, memory.totalBytes);
          this.set({ device: device.id, kind: 'free' }, memory.freeBytes);
          this.set({ device: device.id, kind: 'allocated' }, memory.allocatedBytes);
          this.set({ device: device.id, kind: 'reserved' }, memory.reservedBytes);
        }
      },
    });
    for (const phase of PHASES) this.phases.zero({ phase });
  }
}
