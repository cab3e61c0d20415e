import type { Stores } from '../../src/persistence/open-stores.js';
import { describeBesideJobs } from './job-store/beside-jobs.js';
import { describeCancelling } from './job-store/cancelling.js';
import { describeClaiming } from './job-store/claiming.js';
import { describeClientLimits } from './job-store/client-limits.js';
import { describeFallingDue } from './job-store/falling-due.js';
import { describeGoingOn } from './job-store/going-on.js';
import { storeHarness } from './job-store/harness.js';
import { describePurging } from './job-store/purging.js';
import { describeReading } from './job-store/reading.js';
import { describeRecording } from './job-store/recording.js';
import { describeRecovering } from './job-store/recovering.js';
import { describeSharingTurns } from './job-store/sharing-turns.js';
import { describeSubmitting } from './job-store/submitting.js';

/** What the stores of every engine must do. The suite knows the ports alone. */
export function describeJobStore(name: string, makeStores: () => Promise<Stores>): void {
  describe(`${name} as a job store`, () => {
    const harness = storeHarness(makeStores);
    describeSubmitting(harness);
    describeReading(harness);
    describeClaiming(harness);
    describeRecording(harness);
    describeCancelling(harness);
    describeFallingDue(harness);
    describeRecovering(harness);
    describePurging(harness);
    describeSharingTurns(harness);
    describeGoingOn(harness);
    describeClientLimits(harness);
    describeBesideJobs(harness);
  });
}
