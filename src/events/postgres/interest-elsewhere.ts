import { REPEAT_MS } from './own-interest.js';

/** A node that has not repeated itself for this long, in milliseconds, has gone or cannot be heard: two may be lost. */
const HOLDS_MS = 3 * REPEAT_MS;

interface Watched {
  /** When the interest of each node ends, on the clock of `performance.now()`. */
  readonly until: Map<string, number>;
  readonly leave: () => void;
}

/** Jobs whose previews are watched on other nodes. While one is, it counts as a watcher here. */
export class InterestElsewhere {
  private readonly byJob = new Map<string, Watched>();
  private timer: NodeJS.Timeout | undefined;

  /** @param enter counts a watcher of a job; returns how it leaves */
  constructor(private readonly enter: (jobId: string) => () => void) {}

  heard(node: string, jobs: readonly string[], on: boolean): void {
    for (const jobId of jobs) {
      if (on) this.hold(node, jobId);
      else this.release(node, jobId);
    }
  }

  has(jobId: string): boolean {
    return this.byJob.has(jobId);
  }

  stop(): void {
    for (const { leave } of this.byJob.values()) leave();
    this.byJob.clear();
    this.rest();
  }

  private hold(node: string, jobId: string): void {
    const watched = this.byJob.get(jobId) ?? { until: new Map<string, number>(), leave: this.enter(jobId) };
    this.byJob.set(jobId, watched);
    watched.until.set(node, performance.now() + HOLDS_MS);
    this.timer ??= setInterval(() => this.dropOverdue(), REPEAT_MS).unref();
  }

  private release(node: string, jobId: string): void {
    const watched = this.byJob.get(jobId);
    watched?.until.delete(node);
    if (watched?.until.size !== 0) return;
    this.byJob.delete(jobId);
    watched.leave();
    if (this.byJob.size === 0) this.rest();
  }

  private dropOverdue(): void {
    const now = performance.now();
    for (const [jobId, { until }] of this.byJob) {
      for (const [node, end] of until) if (end <= now) this.release(node, jobId);
    }
  }

  private rest(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }
}
