import { Injectable } from '@nestjs/common';

import type { Caller } from '../../domain/access/caller.js';
import { maySee } from '../../domain/access/caller.js';
import { isFinal } from '../../domain/job/job-state.js';
import type { Job } from '../../domain/job/job.js';
import { Clock } from '../ports/clock.port.js';
import { JobEvents } from '../ports/job-events.port.js';
import { JobStore } from '../ports/job-store.port.js';

/**
 * Cancels a job: at once while it waits, at the next step while it runs, whichever node runs it. A job that is final
 * already is left as it is.
 */
@Injectable()
export class CancelJob {
  constructor(
    private readonly store: JobStore,
    private readonly events: JobEvents,
    private readonly clock: Clock,
  ) {}

  /** `changed` is false when the job was final already. Null: there is no such job that the caller may see. */
  async cancel(id: string, caller: Caller): Promise<{ job: Job; changed: boolean } | null> {
    const before = await this.store.get(id);
    if (before === null || !maySee(caller, before)) return null;
    if (isFinal(before.state)) return { job: before, changed: false };
    const { job, events } = await this.store.requestCancel(id, this.clock.now());
    if (job === null) return null;
    this.events.publish(events);
    if (job.state === 'running') this.events.publishCancel(id);
    return { job, changed: !isFinal(job.state) || job.state === 'cancelled' };
  }
}
