import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import { DatabaseConfig } from './config/database.config.js';
import { ShutdownConfig } from './config/shutdown.config.js';
import { Dispatcher } from './dispatch/dispatcher.js';
import { Footprints } from './dispatch/footprints.js';
import { ClaimKeeper } from './dispatch/maintenance/claim-keeper.js';
import { DueJobs } from './dispatch/maintenance/due-jobs.js';
import { Pruner } from './dispatch/maintenance/pruner.js';
import { Rescuer } from './dispatch/maintenance/rescuer.js';
import { ArtifactStore } from './jobs/ports/artifact-store.port.js';
import { JobStore } from './jobs/ports/job-store.port.js';
import { NodeIdentity } from './jobs/ports/node-identity.js';
import { NodeStore } from './jobs/ports/node-store.port.js';
import { SubmitJobs } from './jobs/submit/submit-jobs.js';
import { TraceJobs } from './jobs/trace/trace-jobs.js';
import { LOG } from './telemetry/log.js';
import { Metrics } from './metrics/metrics.js';
import { WebhookDeliverer } from './webhooks/webhook-deliverer.js';
import { CombinedWorkerPool } from './workers/combined-worker-pool.js';

/** Another server runs under the name of this one, and has its jobs. */
export class SupersededError extends Error {
  constructor(name: string) {
    super(`another server runs under the name ${name}, and has taken over the jobs of this one`);
    this.name = 'SupersededError';
  }
}

/**
 * Starts and stops the parts of a node in their order. Start: what a former life left behind, then workers, then the
 * loops. Stop: no new work, attempts in flight, workers; the drain limit and the stop limit of workers bound it.
 */
@Injectable()
export class AppLifecycle {
  /** Resolves when this node can no longer go on and has to be stopped. */
  readonly broken: Promise<Error>;
  private readonly breakOff: (why: Error) => void;
  private stopping: Promise<void> | null = null;
  private stopMetrics: (() => void) | null = null;
  private sweeping: NodeJS.Timeout | undefined;
  private isSuperseded = false;

  constructor(
    private readonly store: JobStore,
    private readonly artifacts: ArtifactStore,
    private readonly nodes: NodeStore,
    private readonly footprints: Footprints,
    private readonly dispatcher: Dispatcher,
    private readonly claims: ClaimKeeper,
    private readonly rescuer: Rescuer,
    private readonly dueJobs: DueJobs,
    private readonly pruner: Pruner,
    private readonly webhooks: WebhookDeliverer,
    private readonly pool: CombinedWorkerPool,
    private readonly submissions: SubmitJobs,
    private readonly metrics: Metrics,
    private readonly traces: TraceJobs,
    private readonly node: NodeIdentity,
    private readonly database: DatabaseConfig,
    private readonly shutdown: ShutdownConfig,
    @Inject(LOG) private readonly log: Logger,
  ) {
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.broken = promise;
    this.breakOff = resolve;
  }

  /** `url`: where other machines reach this node; null: nowhere. */
  async start(url: string | null): Promise<void> {
    await this.rescuer.takeOver(url);
    // Now that an earlier server of this name, should one live, can record nothing any more.
    await this.artifacts.dropAllStaging();
    await this.sweepInputs();
    this.stopMetrics = this.metrics.start();
    this.traces.start();
    await this.footprints.start();
    this.claims.start(() => {
      this.isSuperseded = true;
      this.breakOff(new SupersededError(this.node.name));
    });
    this.pool.start();
    await this.dispatcher.start();
    this.dueJobs.start();
    this.rescuer.start();
    this.pruner.start();
    this.webhooks.start();
  }

  /** Safe to call twice. */
  stop(): Promise<void> {
    this.stopping ??= this.stopOnce();
    return this.stopping;
  }

  private async stopOnce(): Promise<void> {
    this.submissions.close();
    clearTimeout(this.sweeping);
    this.pool.drain();
    // Its claims are another's: there is nothing to wait for.
    await this.dispatcher.stop(this.isSuperseded ? 0 : this.shutdown.drainMs);
    await this.pool.stop();
    await this.dispatcher.settle();
    await this.webhooks.stop();
    await this.claims.stop();
    await this.rescuer.stop();
    await this.dueJobs.stop();
    await this.pruner.stop();
    await this.footprints.stop();
    this.stopMetrics?.();
    await this.traces.stop();
    if (!this.store.isShared) return;
    await this.nodes.forget(this.node.id).catch((error: unknown) => {
      this.log.warn({ err: error }, 'the node is listed until its heartbeat is too old');
    });
  }

  /**
   * Of a shared store only once an earlier server of this name must have noticed that it was replaced: until then it may be
   * about to write a row.
   */
  private async sweepInputs(): Promise<void> {
    if (!this.store.isShared) return this.sweepAbandonedInputs();
    this.sweeping = setTimeout(() => {
      void this.sweepAbandonedInputs().catch((error: unknown) => {
        this.log.warn({ err: error }, 'pictures of submissions that were never accepted stay until the next start');
      });
    }, this.database.leaseMs);
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
