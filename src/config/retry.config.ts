import { configArea } from './config-area.js';
import { integer } from './kinds.js';
import { given } from './setting.js';

const HOUR_MS = 3_600_000;

export class RetryConfig extends configArea({
  section: 'retry',
  title: 'Retry',
  about:
    'How long a failed job waits before its next attempt: a random time up to the base, doubled with every attempt.',
  fields: {
    backoffBaseMs: given(
      integer({ min: 1, max: HOUR_MS }),
      500,
      'Milliseconds; the longest wait before the second attempt.',
    ),
    backoffCapMs: given(integer({ min: 1, max: HOUR_MS }), 30_000, 'Milliseconds; no wait is longer than this.'),
  },
  rules: [
    {
      field: 'backoffCapMs',
      holds: ({ backoffBaseMs, backoffCapMs }) => backoffCapMs >= backoffBaseMs,
      allowed: 'at least retry.backoff_base_ms',
    },
  ],
}) {}
