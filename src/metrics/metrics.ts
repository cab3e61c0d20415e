import { Injectable } from '@nestjs/common';
import { collectDefaultMetrics, Registry } from 'prom-client';

import { isFinal } from '../domain/job/job-state.js';
import { Clock } from '../jobs/ports/clock.port.js';
import { DeliveryStore } from '../jobs/ports/delivery-store.port.js';
import { Drains } from '../jobs/ports/drains.port.js';
import { JobEvents } from '../jobs/ports/job-events.port.js';
import type { DatabaseEngine } from '../jobs/ports/job-store.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import { ModelCatalog } from '../jobs/ports/model-catalog.port.js';
import { WorkerInventory } from '../jobs/ports/worker-inventory.port.js';
import { Occurrences } from '../telemetry/occurrences.js';
import { VERSION } from '../telemetry/version.js';
import { HttpMetrics } from './http-metrics.js';
import { JobMetrics } from './job-metrics.js';
import { gauge } from './make-metric.js';
import { OccurrenceMetrics } from './occurrence-metrics.js';
import { queueMetrics } from './queue-metrics.js';
import { workerMetrics } from './worker-metrics.js';

/** What is counted, in Prometheus' form; the table of it all is `metric-table.ts`. Names and labels use the words of the API. */
@Injectable()
export class Metrics {
  readonly http: HttpMetrics;
  private readonly registry = new Registry();
  private readonly jobs: JobMetrics;
  private readonly besides: OccurrenceMetrics;

  constructor(
    private readonly events: JobEvents,
    private readonly store: JobStore,
    deliveries: DeliveryStore,
    workers: WorkerInventory,
    drains: Drains,
    models: ModelCatalog,
    private readonly occurrences: Occurrences,
    clock: Clock,
  ) {
    const { registry } = this;
    collectDefaultMetrics({ register: registry, prefix: 'safelight_' });
    this.buildInfo();
    queueMetrics(registry, { store, deliveries, clock });
    this.jobs = new JobMetrics(
      registry,
      models.list().map(({ id }) => id),
    );
    workerMetrics(registry, workers, drains);
    this.http = new HttpMetrics(registry);
    this.besides = new OccurrenceMetrics(registry);
  }

  /** Begins to count what this node published: the others count theirs. Returns how to stop. */
  start(): () => void {
    const stopEvents = this.events.onAny(({ jobId, body }, origin) => {
      if (origin === 'elsewhere') return;
      if (body.type === 'state' && isFinal(body.state)) void this.countFinal(jobId);
      if (body.type === 'degradation') this.jobs.countRung(body);
    });
    const stopOccurrences = this.occurrences.on((occurrence) => this.besides.count(occurrence));
    return () => {
      stopEvents();
      stopOccurrences();
    };
  }

  /** All metrics; of those that cannot be read now (the database is away) nothing is told. */
  async render(): Promise<{ contentType: string; body: string }> {
    return { contentType: this.registry.contentType, body: await this.registry.metrics() };
  }

  /** Names of all metrics but those of the process. */
  names(): string[] {
    const ofProcess = /^safelight_(process|nodejs)_/;
    return this.registry
      .getMetricsAsArray()
      .map(({ name }) => name)
      .filter((name) => !ofProcess.test(name));
  }

  private async countFinal(jobId: string): Promise<void> {
    // A metric is no reason to disturb a job: when the store cannot answer, one job is missing from the counts.
    const job = await this.store.get(jobId).catch(() => null);
    if (job !== null) this.jobs.countFinal(job);
  }

  private buildInfo(): void {
    let engine: DatabaseEngine | null = null;
    gauge(this.registry, 'safelight_build_info', async (info) => {
      engine ??= await this.store.engine();
      const { kind: database, version } = engine;
      info.set({ version: VERSION, node_version: process.versions.node, database, database_version: version }, 1);
    });
  }
}
