import { Injectable } from '@nestjs/common';

import { JobEvents } from '../ports/job-events.port.js';

/**
 * Carries a cancel from who asked, on whatever node, to who runs the job here. The row holds the request as well, so one
 * that comes between claim and registration, or is not heard, is found by reading it.
 */
@Injectable()
export class CancelRequests {
  private readonly running = new Map<string, () => void>();

  constructor(events: JobEvents) {
    events.onCancel((jobId) => this.request(jobId));
  }

  /** Registers what stops a running job; returns how to forget it. */
  onRequest(jobId: string, cancel: () => void): () => void {
    this.running.set(jobId, cancel);
    return () => {
      if (this.running.get(jobId) === cancel) this.running.delete(jobId);
    };
  }

  /** Stops the job when it runs here. */
  request(jobId: string): void {
    this.running.get(jobId)?.();
  }
}
