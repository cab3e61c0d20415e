import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import { placementOrder } from '../domain/placement/placement-order.js';
import { Clock } from '../jobs/ports/clock.port.js';
import { JobEvents } from '../jobs/ports/job-events.port.js';
import type { ClaimedJob } from '../jobs/ports/job-store.port.js';
import { JobStore } from '../jobs/ports/job-store.port.js';
import { ModelCatalog } from '../jobs/ports/model-catalog.port.js';
import { LOG } from '../telemetry/log.js';
import { AttemptRunner } from './attempt-runner.js';
import type { DeviceLease } from './ports/device-leases.port.js';
import { DeviceLeases } from './ports/device-leases.port.js';
import type { ReadyWorker } from './ports/worker-pool.port.js';
import { WorkerPool } from './ports/worker-pool.port.js';

/**
 * How long a job may be overtaken by one whose model is on the device already, in milliseconds: about four loads of a large
 * model. Kept below the smallest distance of two priority classes, so that it never outweighs a class.
 */
const WARM_BONUS_MS = 30_000;

/** Pause after the store failed to answer a claim, in milliseconds. */
const STORE_PAUSE_MS = 1000;

/**
 * The loop: while a worker is ready and a permit is free, claim the next job and run its attempt. It wakes when a job
 * enters the queue, a permit comes back, or a worker becomes ready, and never polls.
 */
@Injectable()
export class Dispatcher {
  private readonly inFlight = new Set<Promise<void>>();
  private readonly shutdown = new AbortController();
  private stops: (() => void)[] = [];
  private accepting = false;
  private withdrawn: readonly string[] = [];
  private again = false;
  private round: Promise<void> | null = null;

  constructor(
    private readonly store: JobStore,
    private readonly events: JobEvents,
    private readonly pool: WorkerPool,
    private readonly leases: DeviceLeases,
    private readonly models: ModelCatalog,
    private readonly runner: AttemptRunner,
    private readonly clock: Clock,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /**
   * Begins to claim: jobs of the models that are served, and of those that waiting jobs still name although the settings
   * no longer do. The latter must be claimed to be told that they cannot be run.
   */
  async start(): Promise<void> {
    this.withdrawn = (await this.store.waitingModels()).filter((model) => this.models.find(model) === null);
    this.accepting = true;
    this.stops = [
      this.events.onAny(({ body }) => {
        if (body.type === 'state' && body.state === 'queued') this.wake();
      }),
      this.pool.onChange(() => this.wake()),
      this.leases.onRelease(() => this.wake()),
    ];
    this.wake();
  }

  /**
   * Claims nothing more; waits until the attempts in flight have ended, at most `drainMs`, then gives the rest back to the
   * queue. Safe to call twice.
   */
  async stop(drainMs: number): Promise<void> {
    this.accepting = false;
    for (const stop of this.stops) stop();
    this.stops = [];
    await this.idle();
    const limit = setTimeout(() => this.shutdown.abort(), drainMs);
    while (this.inFlight.size > 0) await Promise.allSettled(this.inFlight);
    clearTimeout(limit);
  }

  /** Resolves when no round is under way. */
  async idle(): Promise<void> {
    while (this.round !== null) await this.round;
  }

  /** One round at a time; a wake during a round makes one more. */
  private wake(): void {
    this.again = true;
    this.round ??= this.claimWhilePossible().finally(() => {
      this.round = null;
      if (this.again && this.accepting) this.wake();
    });
  }

  private async claimWhilePossible(): Promise<void> {
    while (this.again && this.accepting) {
      this.again = false;
      try {
        while (this.accepting && (await this.claimOne()));
      } catch (error) {
        this.log.error({ err: error }, 'no job could be claimed');
        await new Promise((resolve) => setTimeout(resolve, STORE_PAUSE_MS));
        this.again = true;
      }
    }
  }

  /** True when a job was claimed and its attempt begun. */
  private async claimOne(): Promise<boolean> {
    const candidates = this.pool.ready().map((worker) => ({
      worker,
      deviceId: worker.device.id,
      free: this.leases.free(worker.device.id),
    }));
    for (const { worker } of placementOrder(candidates)) {
      const claimed = await this.claimFor(worker);
      if (claimed === null) continue;
      // Only this loop takes permits, one round at a time, so the one that was free is free still.
      const lease = this.leases.tryAcquire(worker.device.id);
      if (lease === null) throw new Error(`no permit of ${worker.device.id} is left for a claimed job`);
      this.run(claimed, worker, lease);
      return true;
    }
    return false;
  }

  private async claimFor(worker: ReadyWorker): Promise<ClaimedJob | null> {
    const models = [...this.models.list().map(({ id }) => id), ...this.withdrawn].map((model) => ({
      model,
      bonusMs: worker.warmModels.includes(model) ? WARM_BONUS_MS : 0,
    }));
    const claimed = await this.store.claimNext(models, this.clock.now());
    if (claimed !== null) this.events.publish(claimed.events);
    return claimed;
  }

  /** The lease is the attempt's from here on, and is released when it has ended, however it ended. */
  private run(claimed: ClaimedJob, worker: ReadyWorker, lease: DeviceLease): void {
    const attempt = this.runner
      .run(claimed, worker, this.shutdown.signal)
      .catch((error: unknown) => {
        // The runner does not throw; should it, the job stays running until the next start, and that must be seen.
        this.log.fatal({ err: error, job: claimed.job.id }, 'an attempt ended without an outcome');
      })
      .finally(() => {
        this.inFlight.delete(attempt);
        lease.release();
      });
    this.inFlight.add(attempt);
  }
}
