import { choice, integer, text } from './kinds.js';
import type { Complaint, Kind } from './kinds.js';
import type { RecordField } from './record-kind.js';
import { listOf, recordField, recordOf, repeatedIds } from './record-kind.js';

/** What a key may do. The domain has the same list; a test compares the two, because this folder imports nothing. */
export const KEY_ROLES = ['user', 'monitor', 'operator'] as const;

/** An API key, without the key itself. */
export interface AccessKeyEntry {
  readonly id: string;
  /** Lower-case hex of the SHA-256 of the whole key. */
  readonly sha256: string;
  readonly role: (typeof KEY_ROLES)[number];
  /** Null: no bound of its own. */
  readonly maxUnfinishedJobs: number | null;
  readonly maxJobsPerMinute: number | null;
  readonly maxImagesPerDay: number | null;
}

const BILLION = 1_000_000_000;

const bound = (meaning: string) =>
  recordField(integer({ min: 1, max: BILLION }), `${meaning} When left out: no bound of its own.`, null);

const ENTRY_FIELDS: Readonly<Record<string, RecordField>> = {
  id: recordField(
    text({
      pattern: /^[a-z0-9][a-z0-9._-]{0,63}$/,
      allowed: 'up to 64 small letters, digits, dots, dashes, underscores',
    }),
    'Name of the key: jobs belong to it, and the log names it.',
  ),
  sha256: recordField(
    text({ pattern: /^[0-9a-f]{64}$/, allowed: 'the SHA-256 of a key, as `safelight keys new` prints it' }),
    'SHA-256 of the key in lower-case hex. `safelight keys new` makes a key and prints this entry.',
  ),
  role: recordField(
    choice(KEY_ROLES),
    '`user` submits jobs and sees its own; `monitor` reads metrics, workers, node and settings; `operator` may do everything.',
    'user',
  ),
  max_unfinished_jobs: bound('Jobs that may wait or run at a time.'),
  max_jobs_per_minute: bound('Jobs that may be submitted within a minute of the clock.'),
  max_images_per_day: bound('Pictures that may be asked for within a day of UTC.'),
};

/** For the reference page. */
export const ACCESS_KEY_FIELDS: typeof ENTRY_FIELDS = ENTRY_FIELDS;

export const accessKeys: Kind<readonly AccessKeyEntry[]> = listOf(
  recordOf<AccessKeyEntry>(ENTRY_FIELDS, 'a key with id and sha256'),
  'a list of keys, each with id and sha256',
  (entries): readonly Complaint[] => [
    ...repeatedIds(entries, 'an id that no other key has'),
    ...entries.flatMap(({ sha256 }, index) =>
      entries.slice(0, index).some((other) => other.sha256 === sha256)
        ? [{ at: [index, 'sha256'], value: sha256, allowed: 'the hash of a key that no other entry has' }]
        : [],
    ),
  ],
);
