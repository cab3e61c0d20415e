import { Injectable } from '@nestjs/common';

import { isFinal } from '../../domain/job/job-state.js';
import type { JobEvent, PreviewFrame } from '../../domain/job/job-event.js';
import type { Job } from '../../domain/job/job.js';
import { JobEvents } from '../ports/job-events.port.js';
import { JobStore } from '../ports/job-store.port.js';
import { SharedReads } from './shared-reads.js';

export type WatchItem =
  { readonly kind: 'event'; readonly event: JobEvent } | { readonly kind: 'preview'; readonly frame: PreviewFrame };

/** The store is read again after this time, in milliseconds, also when nobody said that there is something new. */
const REREAD_MS = 15_000;

/** Follows jobs: what happened so far, then what happens, in order and without gaps. */
@Injectable()
export class WatchJob {
  private readonly eventReads = new SharedReads<readonly JobEvent[]>();
  private readonly jobReads = new SharedReads<Job | null>();

  constructor(
    private readonly store: JobStore,
    private readonly events: JobEvents,
  ) {}

  /**
   * Events of a job with a number above `afterSeq`, ending after `final`. Ends at once for an unknown job.
   *
   * Stored events are the record; what the hub publishes only says "read again", so nothing is missed between the two
   * and a slow reader holds one flag and one preview frame, never a backlog.
   */
  async *follow(
    id: string,
    options: { afterSeq: number; previews: boolean; signal: AbortSignal },
  ): AsyncGenerator<WatchItem> {
    const { signal } = options;
    let frame: PreviewFrame | null = null;
    const wake = new Wake();
    const stops = [
      this.events.onJob(id, () => wake.set()),
      this.events.onGap(() => wake.set()),
      ...(options.previews
        ? [
            this.events.onPreview(id, (latest) => {
              frame = latest;
              wake.set();
            }),
          ]
        : []),
    ];
    const onAbort = () => wake.set();
    signal.addEventListener('abort', onAbort);
    try {
      let seq = options.afterSeq;
      for (;;) {
        if (signal.aborted) return;
        const events = await this.eventsAfter(id, seq);
        for (const event of events) {
          seq = event.seq;
          yield { kind: 'event', event };
          if (event.body.type === 'final') return;
        }
        if (frame !== null) {
          const latest: PreviewFrame = frame;
          frame = null;
          yield { kind: 'preview', frame: latest };
        }
        // Nothing new: no event may ever come, for a reader that came after the last one or asks beyond it.
        if (events.length === 0 && (await this.isOver(id, seq))) return;
        await wake.wait(REREAD_MS);
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      for (const stop of stops) stop();
    }
  }

  /** The job once it is final, or as it stands when the signal aborts. Null: there is no such job. */
  async untilFinal(id: string, signal: AbortSignal): Promise<Job | null> {
    const wake = new Wake();
    const onAbort = () => wake.set();
    const stops = [
      this.events.onJob(id, ({ body }) => {
        if (body.type === 'final') wake.set();
      }),
      this.events.onGap(() => wake.set()),
      () => signal.removeEventListener('abort', onAbort),
    ];
    signal.addEventListener('abort', onAbort);
    try {
      for (;;) {
        const isLastLook = signal.aborted;
        const job = await this.read(id);
        if (job === null || isFinal(job.state) || isLastLook) return job;
        await wake.wait(REREAD_MS);
      }
    } finally {
      for (const stop of stops) stop();
    }
  }

  /** The job as it is now, read once for all who follow it. Null: there is no such job. */
  read(id: string): Promise<Job | null> {
    return this.jobReads.read(id, () => this.store.get(id));
  }

  /** True when no further event can come. The events are read after the state: `final` is stored with it. */
  private async isOver(id: string, seq: number): Promise<boolean> {
    const job = await this.read(id);
    if (job === null) return true;
    return isFinal(job.state) && (await this.eventsAfter(id, seq)).length === 0;
  }

  private eventsAfter(id: string, seq: number): Promise<readonly JobEvent[]> {
    return this.eventReads.read(`${id} ${seq}`, () => this.store.eventsAfter(id, seq));
  }
}

/** A flag one reader waits for; setting it twice before it is read counts once. */
class Wake {
  isSet = false;
  private resolve: (() => void) | null = null;

  set(): void {
    this.isSet = true;
    this.resolve?.();
  }

  async wait(limitMs: number): Promise<void> {
    if (!this.isSet) {
      const woken = Promise.withResolvers<void>();
      this.resolve = woken.resolve;
      const limit = setTimeout(woken.resolve, limitMs);
      await woken.promise;
      clearTimeout(limit);
    }
    this.isSet = false;
    this.resolve = null;
  }
}
