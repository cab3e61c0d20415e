import { Injectable } from '@nestjs/common';

import type { RunningAttempt } from '../domain/placement/preemption.js';
import { sortAt } from '../domain/job/priority.js';
import type { ClaimedJob } from '../jobs/ports/job-store.port.js';
import type { ReadyWorker } from './ports/worker-pool.port.js';

/**
 * Why an attempt is stopped from here. `shutdown`: it is given back unharmed. `lost`: its claim is no longer ours, and what
 * it made is dropped.
 */
export type StopReason = 'cancel' | 'deadline' | 'shutdown' | 'lost';

/** An attempt from its claim until its outcome is written. */
export class AttemptInFlight {
  /** As in the plan. */
  readonly id: string;
  /** Resolves when its outcome is written and its permit is back. */
  readonly ended: Promise<void>;
  readonly markEnded: () => void;
  private readonly stopping = new AbortController();
  private asked: Promise<boolean> | null = null;

  constructor(
    readonly claimed: ClaimedJob,
    readonly worker: ReadyWorker,
    readonly startedAt: number,
  ) {
    this.id = `${claimed.job.id}/${claimed.claim.attempt}`;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.markEnded = resolve;
  }

  /** Aborted when the attempt is to stop; its reason is a {@link StopReason}. */
  get signal(): AbortSignal {
    return this.stopping.signal;
  }

  get stopReason(): StopReason | null {
    return this.signal.aborted ? (this.signal.reason as StopReason) : null;
  }

  /** Whether it was asked to leave the device, and did not refuse. */
  get isSuspending(): boolean {
    return this.asked !== null;
  }

  /** The first reason counts. */
  stop(reason: StopReason): void {
    this.stopping.abort(reason);
  }

  /** Has its worker take it off the device. False: the worker does not have it, or cannot. */
  async suspend(): Promise<boolean> {
    this.asked ??= this.worker.suspend(this.id);
    const suspending = await this.asked;
    if (!suspending) this.asked = null;
    return suspending;
  }

  describe(): RunningAttempt {
    const { request, createdAt } = this.claimed.job;
    return {
      attemptId: this.id,
      jobId: this.claimed.job.id,
      worker: this.worker.id,
      priority: request.priority,
      sortAt: sortAt(request.priority, createdAt),
      startedAt: this.startedAt,
    };
  }
}

/** The attempts of this node, so that who must stop one finds it. */
@Injectable()
export class InFlight {
  private readonly attempts = new Set<AttemptInFlight>();

  begin(attempt: AttemptInFlight): void {
    this.attempts.add(attempt);
  }

  end(attempt: AttemptInFlight): void {
    if (this.attempts.delete(attempt)) attempt.markEnded();
  }

  list(): readonly AttemptInFlight[] {
    return [...this.attempts];
  }

  on(workerId: string): readonly AttemptInFlight[] {
    return this.list().filter(({ worker }) => worker.id === workerId);
  }
}
