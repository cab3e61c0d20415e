import type { JobEvent } from '../../domain/job/job-event.js';

/** Milliseconds between two progress events of a job. */
const INTERVAL_MS = 200;

/**
 * Lets progress of a job through at a pace people can see, the latest of each interval: who watches reads the store
 * anyway, and a fast model makes a hundred steps a second.
 */
export class ProgressPace {
  private readonly resting = new Map<string, { held: JobEvent | null; timer: NodeJS.Timeout }>();

  constructor(private readonly send: (event: JobEvent) => void) {}

  offer(event: JobEvent): void {
    const rest = this.resting.get(event.jobId);
    if (rest !== undefined) {
      rest.held = event;
      return;
    }
    this.send(event);
    const timer = setTimeout(() => this.release(event.jobId), INTERVAL_MS).unref();
    this.resting.set(event.jobId, { held: null, timer });
  }

  /** A later event of the job is on its way, which says more than what is held. */
  supersede(jobId: string): void {
    const rest = this.resting.get(jobId);
    if (rest !== undefined) rest.held = null;
  }

  stop(): void {
    for (const { timer } of this.resting.values()) clearTimeout(timer);
    this.resting.clear();
  }

  private release(jobId: string): void {
    const held = this.resting.get(jobId)?.held ?? null;
    this.resting.delete(jobId);
    if (held !== null) this.offer(held);
  }
}
