import { accessKeys } from './access-keys.js';
import { configArea } from './config-area.js';
import { flag, integer, orNull, text } from './kinds.js';
import { given } from './setting.js';

/** Id of the key that is given as a variable. */
export const ENVIRONMENT_KEY_ID = 'environment';

export class AccessConfig extends configArea({
  section: 'access',
  title: 'Access',
  about:
    'Who may use the server. Without keys everybody who reaches it may do everything, so it then listens on this machine only. A key is sent as `Authorization: Bearer KEY`, as `X-Api-Key: KEY`, or as the password of basic authentication.',
  fields: {
    keys: given(accessKeys, [], 'Keys that are accepted, see below.', { env: false }),
    apiKey: given(
      orNull(text({ pattern: /^[\x21-\x7E]{16,256}$/, allowed: '16 to 256 printable characters without spaces' })),
      null,
      `One more key, given in the clear, with the role operator and the id \`${ENVIRONMENT_KEY_ID}\`: for a container with a single secret.`,
      { secret: true },
    ),
    allowWithoutKeys: given(
      flag(),
      false,
      'Listen on other addresses than loopback although there are no keys: for a server behind a proxy that checks callers itself.',
    ),
    linkSeconds: given(
      integer({ min: 1, max: 31_536_000 }),
      86_400,
      'Seconds a signed link to a picture holds. With keys in use, dialects that answer with addresses sign them, because their clients fetch them without a key.',
    ),
  },
  rules: [
    {
      field: 'keys',
      holds: ({ keys }) => keys.every(({ id }) => id !== ENVIRONMENT_KEY_ID),
      allowed: `a list without the id ${ENVIRONMENT_KEY_ID}, which is that of access.api_key`,
    },
  ],
}) {}
