import type { Message } from './message.js';

/** Milliseconds between repetitions; see {@link InterestElsewhere}. */
export const REPEAT_MS = 5_000;

/** Jobs in a message: well within a payload. */
const JOBS_PER_MESSAGE = 100;

/** Jobs whose previews are watched on this node, told to the others for as long as they are. */
export class OwnInterest {
  private readonly watchers = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly send: (message: Message) => void) {}

  /** Returns how to leave. */
  enter(jobId: string): () => void {
    const before = this.watchers.get(jobId) ?? 0;
    this.watchers.set(jobId, before + 1);
    if (before === 0) this.tell([jobId], true);
    this.timer ??= setInterval(() => this.repeat(), REPEAT_MS).unref();
    let isIn = true;
    return () => {
      if (isIn) this.leave(jobId);
      isIn = false;
    };
  }

  has(jobId: string): boolean {
    return this.watchers.has(jobId);
  }

  repeat(): void {
    this.tell([...this.watchers.keys()], true);
  }

  /** Nobody watches here any more. */
  stop(): void {
    this.tell([...this.watchers.keys()], false);
    this.watchers.clear();
    this.rest();
  }

  private leave(jobId: string): void {
    const left = (this.watchers.get(jobId) ?? 0) - 1;
    if (left > 0) {
      this.watchers.set(jobId, left);
    } else if (this.watchers.delete(jobId)) {
      this.tell([jobId], false);
      if (this.watchers.size === 0) this.rest();
    }
  }

  private rest(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private tell(jobs: readonly string[], on: boolean): void {
    for (let from = 0; from < jobs.length; from += JOBS_PER_MESSAGE) {
      this.send({ kind: 'watch', jobs: jobs.slice(from, from + JOBS_PER_MESSAGE), on });
    }
  }
}
