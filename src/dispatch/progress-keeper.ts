import type { Logger } from 'pino';

import type { Clock } from '../jobs/ports/clock.port.js';
import type { JobEvents } from '../jobs/ports/job-events.port.js';
import type { JobStore } from '../jobs/ports/job-store.port.js';
import type { ProgressNote } from './attempt-log.js';
import type { AttemptInFlight } from './in-flight.js';

/**
 * Stores what an attempt tells on its way, one write at a time; what is told meanwhile goes into the next. An attempt does
 * not wait for it: what is told on the way is worth less than the picture, and an attempt goes on when it cannot be stored.
 */
export class ProgressKeeper {
  private told: ProgressNote | null = null;
  private writing: Promise<void> | null = null;

  constructor(
    private readonly attempt: AttemptInFlight,
    private readonly store: JobStore,
    private readonly events: JobEvents,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {}

  /** Returns at once. */
  offer(note: ProgressNote): void {
    this.told = { progress: note.progress, events: [...(this.told?.events ?? []), ...note.events] };
    this.writing ??= this.writeTold().finally(() => {
      this.writing = null;
    });
  }

  /** Waits until all is written that was told: the outcome comes after it. */
  async settle(): Promise<void> {
    await this.writing;
  }

  private async writeTold(): Promise<void> {
    const { claim } = this.attempt.claimed;
    while (this.told !== null) {
      const { progress, events } = this.told;
      this.told = null;
      try {
        const recorded = await this.store.recordProgressIfClaimed(claim, progress, events, this.clock.now());
        if (!recorded.recorded) this.attempt.stop('lost');
        this.events.publish(recorded.events);
      } catch (error) {
        this.log.warn({ err: error }, 'progress could not be stored');
      }
    }
  }
}
