import { Injectable } from '@nestjs/common';

import type { JobEvent, PreviewFrame } from '../domain/job/job-event.js';
import { JobEvents } from '../jobs/ports/job-events.port.js';

/** Listeners by job; a job without listeners takes no room. */
class Listeners<T> {
  private readonly byJob = new Map<string, Set<(value: T) => void>>();

  add(jobId: string, listener: (value: T) => void): () => void {
    const listeners = this.byJob.get(jobId) ?? new Set();
    this.byJob.set(jobId, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.byJob.get(jobId) === listeners) this.byJob.delete(jobId);
    };
  }

  tell(jobId: string, value: T): void {
    for (const listener of this.byJob.get(jobId) ?? []) listener(value);
  }

  has(jobId: string): boolean {
    return this.byJob.has(jobId);
  }
}

/** Events between the parts of one process. */
@Injectable()
export class InProcessJobEvents extends JobEvents {
  private readonly any = new Set<(event: JobEvent) => void>();
  private readonly jobs = new Listeners<JobEvent>();
  private readonly previews = new Listeners<PreviewFrame>();
  private readonly watched = new Listeners<boolean>();
  private readonly latest = new Map<string, PreviewFrame>();

  publish(events: readonly JobEvent[]): void {
    for (const event of events) {
      if (event.body.type === 'final') this.latest.delete(event.jobId);
      this.jobs.tell(event.jobId, event);
      for (const listener of this.any) listener(event);
    }
  }

  publishPreview(frame: PreviewFrame): void {
    this.latest.set(frame.jobId, frame);
    this.previews.tell(frame.jobId, frame);
  }

  onJob(jobId: string, listener: (event: JobEvent) => void): () => void {
    return this.jobs.add(jobId, listener);
  }

  onAny(listener: (event: JobEvent) => void): () => void {
    this.any.add(listener);
    return () => this.any.delete(listener);
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
    return this.latest.get(jobId) ?? null;
  }
}
