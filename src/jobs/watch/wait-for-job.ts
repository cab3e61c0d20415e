import type { OnModuleDestroy } from '@nestjs/common';
import { Injectable } from '@nestjs/common';
import type { Response } from 'express';

import { isFinal } from '../../domain/job/job-state.js';
import type { Job } from '../../domain/job/job.js';
import { CancelJob } from '../../jobs/cancel/cancel-job.js';
import { WatchJob } from '../../jobs/watch/watch-job.js';
import { untilClosed } from '../http/client-gone.js';
import { unlessAway } from './unless-away.js';

interface Wait {
  readonly seconds: number;
  /** The answer that is waited for. */
  readonly response: Response;
  /** Nobody can ask for the job again: it ends when its client hangs up. */
  readonly cancelWhenGone: boolean;
}

/** Holds an answer back until its job is final. */
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
  async outcome(job: Job, { seconds, response, cancelWhenGone }: Wait): Promise<Job> {
    const gone = untilClosed(response);
    const signal = AbortSignal.any([AbortSignal.timeout(seconds * 1000), gone]);
    const watched = (await unlessAway(this.watchJob.untilFinal(job.id, signal))) ?? job;
    if (!gone.aborted || this.isClosing || !cancelWhenGone || isFinal(watched.state)) return watched;
    return (await unlessAway(this.cancelJob.cancel(job.id)))?.job ?? watched;
  }
}
