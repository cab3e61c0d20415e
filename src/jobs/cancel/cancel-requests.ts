import { Injectable } from '@nestjs/common';

/**
 * Carries a cancel from who asked to who runs the job, inside this node. The row holds the request as well, so one that
 * comes between claim and registration is found by reading it.
 */
@Injectable()
export class CancelRequests {
  private readonly running = new Map<string, () => void>();

  /** Registers what stops a running job; returns how to forget it. */
  onRequest(jobId: string, cancel: () => void): () => void {
    this.running.set(jobId, cancel);
    return () => {
      if (this.running.get(jobId) === cancel) this.running.delete(jobId);
    };
  }

  request(jobId: string): void {
    this.running.get(jobId)?.();
  }
}
