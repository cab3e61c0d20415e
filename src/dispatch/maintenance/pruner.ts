import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import { RetentionConfig } from '../../config/retention.config.js';
import { isFinal } from '../../domain/job/job-state.js';
import { ArtifactStore } from '../../jobs/ports/artifact-store.port.js';
import { Clock } from '../../jobs/ports/clock.port.js';
import { JobEvents } from '../../jobs/ports/job-events.port.js';
import { JobStore } from '../../jobs/ports/job-store.port.js';
import { LOG } from '../../telemetry/log.js';

/** Between two sweeps, in milliseconds. */
const INTERVAL_MS = 60_000;

/** Jobs deleted by one statement: short enough not to hold up submissions. */
const JOBS_A_TIME = 500;

/**
 * Deletes final jobs past their retention, rows first: a crash in between leaves files that no row names, never a row
 * whose files are gone. Where several nodes prune, the files are removed by the one whose statement deleted the row.
 *
 * Checkpoints go as soon as their job is final, however it ended: cancelled, expired or given up while it waited, no attempt
 * is there to remove its own. The node that ended the job does it; what it leaves when it dies goes with the job.
 */
@Injectable()
export class Pruner {
  private timer: NodeJS.Timeout | undefined;
  private sweep: Promise<void> = Promise.resolve();
  private readonly unsubscribe: () => void;
  /** One job after the other: a thousand that are cancelled at once must not take the store from those that run. */
  private dropping: Promise<void> = Promise.resolve();
  private isStopped = false;

  constructor(
    private readonly store: JobStore,
    private readonly artifacts: ArtifactStore,
    events: JobEvents,
    private readonly clock: Clock,
    private readonly retention: RetentionConfig,
    @Inject(LOG) private readonly log: Logger,
  ) {
    // Not only from the start on: what a former life left behind may end before that.
    this.unsubscribe = events.onAny(({ jobId, body }, origin) => {
      if (origin !== 'here' || body.type !== 'state') return;
      // An attempt that succeeds removes its own, but not what one before it left whose server was killed.
      const mayHaveSome = isFinal(body.state) && body.attempt > (body.state === 'succeeded' ? 1 : 0);
      if (mayHaveSome) this.dropping = this.dropping.then(() => this.dropCheckpoints(jobId));
    });
  }

  start(): void {
    if (this.retention.jobsMs === 0) return;
    this.timer = setInterval(() => {
      this.sweep = this.sweep.then(() => this.prune());
    }, INTERVAL_MS);
  }

  /** Finishes with the job it is at. Safe to call twice. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.unsubscribe();
    clearInterval(this.timer);
    await this.sweep;
    await this.dropping;
  }

  private async prune(): Promise<void> {
    try {
      const before = this.clock.now() - this.retention.jobsMs;
      for (
        let ids = await this.store.purge(before, JOBS_A_TIME);
        ids.length > 0;
        ids = await this.store.purge(before, JOBS_A_TIME)
      ) {
        await Promise.all(ids.map((id) => this.removeFiles(id)));
        this.log.info({ jobs: ids.length }, 'jobs past their retention deleted');
      }
    } catch (error) {
      this.log.error({ err: error }, 'jobs past their retention could not be deleted');
    }
  }

  private async dropCheckpoints(jobId: string): Promise<void> {
    if (this.isStopped) return;
    await this.artifacts.dropCheckpoints(jobId).catch((error: unknown) => {
      this.log.warn({ err: error, job: jobId }, 'checkpoints stay until their job is deleted');
    });
  }

  /** The row is gone, so nobody will come back for what cannot be removed now: it is named in the log. */
  private async removeFiles(jobId: string): Promise<void> {
    await this.artifacts.remove(jobId).catch((error: unknown) => {
      this.log.error({ err: error, job: jobId }, 'files of a deleted job are left');
    });
  }
}
