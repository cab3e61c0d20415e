import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';

import { Clock } from '../../jobs/ports/clock.port.js';
import { JobEvents } from '../../jobs/ports/job-events.port.js';
import { JobStore } from '../../jobs/ports/job-store.port.js';
import { LOG } from '../../telemetry/log.js';

/** Longest sleep in milliseconds: also finds what a change of the system's clock made due. */
const LONGEST_SLEEP_MS = 60_000;

/** The same where other nodes work on the same jobs: one of them may have ended before it moved what it made due. */
const LONGEST_SHARED_SLEEP_MS = 1000;

/** One look serves all jobs that come within this time, in milliseconds: a burst would cost one each. */
const GATHER_MS = 20;

/** Pause after the store failed, in milliseconds. */
const STORE_PAUSE_MS = 1000;

/** Moves jobs whose time has come: retries into the queue, jobs past their deadline into `expired`. */
@Injectable()
export class DueJobs {
  private timer: NodeJS.Timeout | undefined;
  private unsubscribe: (() => void) | null = null;
  private sweep: Promise<void> = Promise.resolve();
  private askedAgain = false;

  constructor(
    private readonly store: JobStore,
    private readonly events: JobEvents,
    private readonly clock: Clock,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  start(): void {
    this.unsubscribe = this.events.onAny(({ body }) => {
      // A retry or a deadline may be due before the timer that runs.
      const mayBeDue = body.type === 'state' && (body.state === 'scheduled' || body.state === 'queued');
      if (!mayBeDue || this.askedAgain) return;
      this.askedAgain = true;
      this.plan(GATHER_MS);
    });
    this.plan(0);
  }

  async stop(): Promise<void> {
    this.unsubscribe?.();
    this.unsubscribe = null;
    clearTimeout(this.timer);
    await this.sweep;
  }

  private plan(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.sweep = this.sweep.then(() => this.sweepOnce());
    }, ms);
  }

  private async sweepOnce(): Promise<void> {
    this.askedAgain = false;
    let sleepMs = STORE_PAUSE_MS;
    try {
      const now = this.clock.now();
      // Each is told as soon as it is stored: when the next statement fails, the next sweep would not tell it again.
      this.events.publish(await this.store.promoteDue(now));
      this.events.publish(await this.store.expireDue(now));
      const dueAt = await this.store.nextDueAt();
      const longest = this.store.isShared ? LONGEST_SHARED_SLEEP_MS : LONGEST_SLEEP_MS;
      sleepMs = dueAt === null ? longest : Math.min(longest, Math.max(1, dueAt - this.clock.now()));
    } catch (error) {
      this.log.error({ err: error }, 'due jobs could not be moved');
    }
    // What came while the store was asked may be due before what the store knew.
    if (this.unsubscribe !== null) this.plan(this.askedAgain ? GATHER_MS : sleepMs);
  }
}
