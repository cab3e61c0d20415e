import type { OnModuleDestroy } from '@nestjs/common';
import { Injectable } from '@nestjs/common';

import type { Caller } from '../../domain/access/caller.js';
import { isFinal } from '../../domain/job/job-state.js';
import type { Job } from '../../domain/job/job.js';
import { CancelJob } from '../cancel/cancel-job.js';
import { unlessAway } from '../unless-away.js';
import { WatchJob } from './watch-job.js';

export interface Wait {
  /** Longest time, in seconds; null: until the job is final or the client has gone. */
  readonly seconds: number | null;
  /** Aborts when the client that waits has gone. */
  readonly gone: AbortSignal;
  /** Nobody can ask for the job again: it ends when its client hangs up. */
  readonly cancelWhenGone: boolean;
  readonly caller: Caller;
}

/** Waits for a job on behalf of a client that holds its connection open. */
@Injectable()
export class WaitForJob implements OnModuleDestroy {
  /** The server closes its connections: that they end says nothing about the clients. */
  private isClosing = false;

  constructor(
    private readonly watchJob: WatchJob,
    private readonly cancelJob: CancelJob,
  ) {}

  onModuleDestroy(): void {
    this.isClosing = true;
  }

  /** The job once it is final, or as it stands after the time, when the client has gone or when the store goes away. */
  async outcome(job: Job, { seconds, gone, cancelWhenGone, caller }: Wait): Promise<Job> {
    const signal = seconds === null ? gone : AbortSignal.any([AbortSignal.timeout(seconds * 1000), gone]);
    const watched = (await unlessAway(this.watchJob.untilFinal(job.id, signal))) ?? job;
    if (!gone.aborted || !cancelWhenGone) return watched;
    return this.callOff(watched, caller);
  }

  /** Ends a job whose client has gone, unless it is we who closed the connection. The job as it stands then. */
  async callOff(job: Job, caller: Caller): Promise<Job> {
    if (this.isClosing || isFinal(job.state)) return job;
    return (await unlessAway(this.cancelJob.cancel(job.id, caller)))?.job ?? job;
  }
}
