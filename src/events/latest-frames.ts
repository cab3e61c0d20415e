import type { PreviewFrame } from '../domain/job/job-event.js';

/**
 * Frames kept at most, 64 KiB each: more jobs than one node runs and shows at a time. It bounds what stays when the end of
 * a job was not heard of.
 */
const MOST_FRAMES = 256;

/** The latest preview frame of each job that has one. */
export class LatestFrames {
  private readonly byJob = new Map<string, PreviewFrame>();

  keep(frame: PreviewFrame): void {
    // Set anew, the job moves behind those that have had no frame for longer.
    this.byJob.delete(frame.jobId);
    this.byJob.set(frame.jobId, frame);
    if (this.byJob.size <= MOST_FRAMES) return;
    const [oldest] = this.byJob.keys();
    if (oldest !== undefined) this.byJob.delete(oldest);
  }

  of(jobId: string): PreviewFrame | null {
    return this.byJob.get(jobId) ?? null;
  }

  forget(jobId: string): void {
    this.byJob.delete(jobId);
  }
}
