import { Injectable } from '@nestjs/common';

import type { JobEvent, PreviewFrame } from '../domain/job/job-event.js';
import type { EventOrigin } from '../jobs/ports/job-events.port.js';
import { ClosableJobEvents } from './closable-job-events.js';
import { LatestFrames } from './latest-frames.js';
import { JobListeners, Listeners } from './listeners.js';

/** Events between the parts of one process. */
@Injectable()
export class InProcessJobEvents extends ClosableJobEvents {
  private readonly any = new Listeners<[JobEvent, EventOrigin]>();
  private readonly jobs = new JobListeners<[JobEvent]>();
  private readonly cancels = new Listeners<[string]>();
  private readonly gaps = new Listeners<[]>();
  private readonly previews = new JobListeners<[PreviewFrame]>();
  private readonly watched = new JobListeners<[boolean]>();
  private readonly latest = new LatestFrames();

  publish(events: readonly JobEvent[], origin: EventOrigin = 'here'): void {
    for (const event of events) {
      if (event.body.type === 'final') this.latest.forget(event.jobId);
      this.jobs.tell(event.jobId, event);
      this.any.tell(event, origin);
    }
  }

  publishPreview(frame: PreviewFrame): void {
    this.latest.keep(frame);
    this.previews.tell(frame.jobId, frame);
  }

  publishCancel(jobId: string): void {
    this.cancels.tell(jobId);
  }

  /** Has everybody read the store again. In one process nothing is missed; who brings events from elsewhere calls this. */
  publishGap(): void {
    this.gaps.tell();
  }

  onJob(jobId: string, listener: (event: JobEvent) => void): () => void {
    return this.jobs.add(jobId, listener);
  }

  onAny(listener: (event: JobEvent, origin: EventOrigin) => void): () => void {
    return this.any.add(listener);
  }

  onGap(listener: () => void): () => void {
    return this.gaps.add(listener);
  }

  onCancel(listener: (jobId: string) => void): () => void {
    return this.cancels.add(listener);
  }

  onPreview(jobId: string, listener: (frame: PreviewFrame) => void): () => void {
    const first = !this.previews.has(jobId);
    const remove = this.previews.add(jobId, listener);
    if (first) this.watched.tell(jobId, true);
    return () => {
      if (!this.previews.has(jobId)) return;
      remove();
      if (!this.previews.has(jobId)) this.watched.tell(jobId, false);
    };
  }

  previewsWatched(jobId: string): boolean {
    return this.previews.has(jobId);
  }

  onPreviewsWatched(jobId: string, listener: (watched: boolean) => void): () => void {
    return this.watched.add(jobId, listener);
  }

  latestPreview(jobId: string): PreviewFrame | null {
    return this.latest.of(jobId);
  }

  async close(): Promise<void> {
    // There is nothing to end.
  }
}
