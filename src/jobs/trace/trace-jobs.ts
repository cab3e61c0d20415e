import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import { isFinal } from '../../domain/job/job-state.js';
import { LOG } from '../../telemetry/log.js';
import { spansOf } from '../../telemetry/tracing/job-spans.js';
import { Tracing } from '../../telemetry/tracing/tracing.js';
import { JobEvents } from '../ports/job-events.port.js';
import { JobStore } from '../ports/job-store.port.js';

/**
 * Tells a job's part of its trace when the job becomes final, from its row: whichever node it became final on, and however
 * many it went through. A trace is no reason to disturb a job: what cannot be read is missing.
 */
@Injectable()
export class TraceJobs {
  private readonly underWay = new Set<Promise<void>>();
  private unsubscribe: (() => void) | null = null;

  constructor(
    private readonly events: JobEvents,
    private readonly store: JobStore,
    private readonly tracing: Tracing,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** Does nothing while traces are off. */
  start(): void {
    if (!this.tracing.isOn) return;
    this.unsubscribe = this.events.onAny(({ jobId, body }, origin) => {
      if (origin === 'here' && body.type === 'state' && isFinal(body.state)) this.begin(jobId);
    });
  }

  /** Waits for the rows that are being read; to be called while the store is open. Safe to call twice. */
  async stop(): Promise<void> {
    this.unsubscribe?.();
    this.unsubscribe = null;
    await Promise.all(this.underWay);
  }

  private begin(jobId: string): void {
    const telling = this.tell(jobId)
      .catch((error: unknown) => this.log.warn({ err: error, job: jobId }, 'the trace of a job is not told'))
      .finally(() => this.underWay.delete(telling));
    this.underWay.add(telling);
  }

  private async tell(jobId: string): Promise<void> {
    const job = await this.store.get(jobId);
    if (job === null) return;
    for (const span of spansOf(job)) this.tracing.record(span);
  }
}
