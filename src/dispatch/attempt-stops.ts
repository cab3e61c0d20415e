import { Injectable } from '@nestjs/common';

import { CancelRequests } from '../jobs/cancel/cancel-requests.js';
import { Clock } from '../jobs/ports/clock.port.js';
import type { AttemptInFlight } from './in-flight.js';

/** Longest time setTimeout can wait, in milliseconds. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Stops attempts for reasons of their job: its cancel, its deadline. */
@Injectable()
export class AttemptStops {
  constructor(
    private readonly cancelRequests: CancelRequests,
    private readonly clock: Clock,
  ) {}

  /** From now on until the returned function is called. */
  watch(attempt: AttemptInFlight): () => void {
    const { id, request } = attempt.claimed.job;
    const forgetCancel = this.cancelRequests.onRequest(id, () => attempt.stop('cancel'));
    const forgetDeadline = this.atDeadline(request.finish_by, () => attempt.stop('deadline'));
    return () => {
      forgetCancel();
      forgetDeadline();
    };
  }

  private atDeadline(finishBy: number | null, expire: () => void): () => void {
    let timer: NodeJS.Timeout | undefined;
    const arm = (at: number) => {
      const ms = Math.max(0, at - this.clock.now());
      // setTimeout takes what is beyond 2^31-1 ms (25 days) for 1 ms.
      timer = setTimeout(() => (ms > LONGEST_TIMER_MS ? arm(at) : expire()), Math.min(ms, LONGEST_TIMER_MS));
    };
    if (finishBy !== null) arm(finishBy);
    return () => clearTimeout(timer);
  }
}
