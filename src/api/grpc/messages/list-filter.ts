import type { JobState } from '../../../domain/job/job-state.js';
import type { ListJobsRequest } from '../../../gen/safelight/v1/safelight.pb.js';
import type { JobFilter } from '../../../jobs/ports/job-store.port.js';
import { listFilter } from '../../rest/list-query.js';
import { JOB_STATE, PRIORITY, wordOf } from './enums.js';

/** Judged as the query of REST is; throws the problem for what is out of range. */
export function filterOf({ states, model, priority, pageSize, pageToken }: ListJobsRequest): JobFilter {
  const words = states.map((state) => wordOf<JobState>(JOB_STATE, state) ?? '0');
  return listFilter({
    state: words.length === 0 ? undefined : words,
    model,
    priority: wordOf(PRIORITY, priority),
    limit: pageSize === 0 ? undefined : String(pageSize),
    cursor: pageToken === '' ? undefined : pageToken,
  });
}
