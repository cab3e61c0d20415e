import { configArea } from './config-area.js';
import { integer } from './kinds.js';
import { given } from './setting.js';

export class QueueConfig extends configArea({
  section: 'queue',
  title: 'Queue',
  about: 'How many jobs may wait.',
  fields: {
    maxWaiting: given(
      integer({ min: 1, max: 1_000_000 }),
      1000,
      'Jobs that may be `scheduled` or `queued` at a time; a further one is refused with 429 and `Retry-After`.',
    ),
  },
}) {}
