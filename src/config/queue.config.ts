import { configArea } from './config-area.js';
import { integer } from './kinds.js';
import { given } from './setting.js';

export class QueueConfig extends configArea({
  section: 'queue',
  title: 'Queue',
  about: 'How many jobs may wait, and how long they are meant to take.',
  fields: {
    maxWaiting: given(
      integer({ min: 1, max: 1_000_000 }),
      1000,
      'Jobs that may be `scheduled` or `queued` at a time; a further one is refused with 429 and `Retry-After`.',
    ),
    timeBudgetMs: given(
      integer({ min: 0, max: 7 * 24 * 60 * 60 * 1000 }),
      30_000,
      'Time budget in milliseconds of jobs that name none; 0: none. Attainment is counted, nothing is cut off.',
    ),
  },
}) {}
