import { configArea } from './config-area.js';
import { integer } from './kinds.js';
import { given } from './setting.js';

const DAY_MS = 86_400_000;

export class RetentionConfig extends configArea({
  section: 'retention',
  title: 'Retention',
  about: 'How long finished jobs are kept.',
  fields: {
    jobsMs: given(
      integer({ min: 0, max: 36_500 * DAY_MS }),
      7 * DAY_MS,
      'Milliseconds a finished job is kept with its pictures before both are deleted; the default is 7 days, 0 keeps them for ever.',
    ),
  },
}) {}
