import type { JobEvent, PreviewFrame } from '../../domain/job/job-event.js';

/** `elsewhere`: another node published it, and counts it. */
export type EventOrigin = 'here' | 'elsewhere';

/**
 * Tells what happens to jobs to those who wait for it. A hint, never the record: a listener that (re)connects reads the
 * store first. Listeners must not throw and must not block.
 */
export abstract class JobEvents {
  /** Publishes stored events, after their commit. */
  abstract publish(events: readonly JobEvent[]): void;
  abstract publishPreview(frame: PreviewFrame): void;
  /** Calls back for every event of a job; returns how to stop. */
  abstract onJob(jobId: string, listener: (event: JobEvent) => void): () => void;
  /** Calls back for every event of every job, with where it was published; returns how to stop. */
  abstract onAny(listener: (event: JobEvent, origin: EventOrigin) => void): () => void;
  /** Calls back when events of other nodes may have been missed: the store is to be read again; returns how to stop. */
  abstract onGap(listener: () => void): () => void;
  /** Tells whoever runs a job, on whatever node, that its cancel is wanted. The row holds the wish as well. */
  abstract publishCancel(jobId: string): void;
  /** Calls back for every wish to cancel a job; returns how to stop. */
  abstract onCancel(listener: (jobId: string) => void): () => void;
  /** Calls back for every preview frame of a job and counts as a watcher of its previews; returns how to stop. */
  abstract onPreview(jobId: string, listener: (frame: PreviewFrame) => void): () => void;
  /** True while somebody watches the previews of a job. */
  abstract previewsWatched(jobId: string): boolean;
  /** Calls back when the first watcher of a job's previews comes or the last one goes. */
  abstract onPreviewsWatched(jobId: string, listener: (watched: boolean) => void): () => void;
  /** Latest preview frame of a running job; null when there is none. */
  abstract latestPreview(jobId: string): PreviewFrame | null;
}
