import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import { ShutdownConfig } from './config/shutdown.config.js';
import { Dispatcher } from './dispatch/dispatcher.js';
import { DueJobs } from './dispatch/maintenance/due-jobs.js';
import { Pruner } from './dispatch/maintenance/pruner.js';
import { failure } from './domain/failure/failure.js';
import { ArtifactStore } from './jobs/ports/artifact-store.port.js';
import { Clock } from './jobs/ports/clock.port.js';
import { JobEvents } from './jobs/ports/job-events.port.js';
import { JobStore } from './jobs/ports/job-store.port.js';
import { SubmitJobs } from './jobs/submit/submit-jobs.js';
import { LOG } from './telemetry/log.js';
import { Metrics } from './metrics/metrics.js';
import { SupervisedWorkerPool } from './workers/supervised-worker-pool.js';

/**
 * Attempts a job may have had when the server comes back and finds it running. The end of the server is seldom the job's
 * fault; a job that was there at this many ends is taken to be their cause.
 */
const ATTEMPTS_OVER_RESTARTS = 20;

/**
 * Starts and stops the parts of a node in their order. Start: what a former life left behind, then workers, then the
 * loops. Stop: no new work, attempts in flight, workers; the drain limit and the stop limit of workers bound it.
 */
@Injectable()
export class AppLifecycle {
  private stopping: Promise<void> | null = null;
  private stopMetrics: (() => void) | null = null;

  constructor(
    private readonly store: JobStore,
    private readonly artifacts: ArtifactStore,
    private readonly events: JobEvents,
    private readonly dispatcher: Dispatcher,
    private readonly dueJobs: DueJobs,
    private readonly pruner: Pruner,
    private readonly pool: SupervisedWorkerPool,
    private readonly submissions: SubmitJobs,
    private readonly metrics: Metrics,
    private readonly clock: Clock,
    private readonly shutdown: ShutdownConfig,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  async start(): Promise<void> {
    await this.returnAbandonedJobs();
    await this.sweepAbandonedInputs();
    this.stopMetrics = this.metrics.start();
    this.pool.start();
    await this.dispatcher.start();
    this.dueJobs.start();
    this.pruner.start();
  }

  /** Safe to call twice. */
  stop(): Promise<void> {
    this.stopping ??= this.stopOnce();
    return this.stopping;
  }

  private async stopOnce(): Promise<void> {
    this.submissions.close();
    this.pool.drain();
    await this.dispatcher.stop(this.shutdown.drainMs);
    await this.dueJobs.stop();
    await this.pruner.stop();
    await this.pool.stop();
    this.stopMetrics?.();
  }

  /**
   * The store is ours alone, so whatever is `running` in it belongs to a life that has ended: its worker died with it.
   */
  private async returnAbandonedJobs(): Promise<void> {
    await this.artifacts.dropAllStaging();
    const why = failure('worker_lost', 'the server ended while the attempt ran');
    const events = await this.store.reclaimAll(why, ATTEMPTS_OVER_RESTARTS, this.clock.now());
    if (events.length > 0)
      this.log.warn({ jobs: new Set(events.map(({ jobId }) => jobId)).size }, 'jobs of a former life go on');
    this.events.publish(events);
  }

  /** The server ended between storing the pictures of a submission and telling that its row was written, or was not. */
  private async sweepAbandonedInputs(): Promise<void> {
    for (const jobId of await this.artifacts.abandonedInputs()) {
      if ((await this.store.get(jobId)) === null) {
        await this.artifacts.remove(jobId);
        this.log.info({ job: jobId }, 'pictures of a submission that was never accepted are removed');
      } else {
        await this.artifacts.settleInputs(jobId);
      }
    }
  }
}
