import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import { RetentionConfig } from '../../config/retention.config.js';
import { ArtifactStore } from '../../jobs/ports/artifact-store.port.js';
import { Clock } from '../../jobs/ports/clock.port.js';
import { JobStore } from '../../jobs/ports/job-store.port.js';
import { LOG } from '../../telemetry/log.js';

/** Between two sweeps, in milliseconds. */
const INTERVAL_MS = 60_000;

/** Jobs deleted by one statement: short enough not to hold up submissions. */
const JOBS_A_TIME = 500;

/**
 * Deletes final jobs past their retention, rows first: a crash in between leaves files that no row names, never a row
 * whose files are gone.
 */
@Injectable()
export class Pruner {
  private timer: NodeJS.Timeout | undefined;
  private sweep: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: JobStore,
    private readonly artifacts: ArtifactStore,
    private readonly clock: Clock,
    private readonly retention: RetentionConfig,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  start(): void {
    if (this.retention.jobsMs === 0) return;
    this.timer = setInterval(() => {
      this.sweep = this.sweep.then(() => this.prune());
    }, INTERVAL_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.sweep;
  }

  private async prune(): Promise<void> {
    try {
      const before = this.clock.now() - this.retention.jobsMs;
      for (
        let ids = await this.store.purge(before, JOBS_A_TIME);
        ids.length > 0;
        ids = await this.store.purge(before, JOBS_A_TIME)
      ) {
        await Promise.all(ids.map((id) => this.artifacts.remove(id)));
        this.log.info({ jobs: ids.length }, 'jobs past their retention deleted');
      }
    } catch (error) {
      this.log.error({ err: error }, 'jobs past their retention could not be deleted');
    }
  }
}
