import { configArea } from './config-area.js';
import { flag, integer, orNull, text } from './kinds.js';
import { given } from './setting.js';

export class WebhooksConfig extends configArea({
  section: 'webhooks',
  title: 'Webhooks',
  about:
    'Telling other servers that a job is final, in the form of Standard Webhooks (https://www.standardwebhooks.com): signed, repeated until answered.',
  fields: {
    secret: given(
      orNull(
        text({
          pattern: /^whsec_(?:[A-Za-z0-9+/]{4}){6,}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
          allowed: '`whsec_` and the base64 of 18 to 64 random bytes',
        }),
      ),
      null,
      'Key the messages are signed with; receivers have it too. Without one, jobs that name a webhook are refused.',
      { secret: true },
    ),
    timeoutMs: given(
      integer({ min: 100, max: 120_000 }),
      15_000,
      'Milliseconds a receiver may take to answer one message.',
    ),
    allowPrivateAddresses: given(
      flag(),
      false,
      'Whether messages may go to loopback, link-local and private addresses. Who may submit jobs could otherwise reach what only this machine can.',
    ),
  },
}) {}
