import { configArea } from './config-area.js';
import { integer, orNull, text } from './kinds.js';
import { given } from './setting.js';

export class DatabaseConfig extends configArea({
  section: 'database',
  title: 'Database',
  about: 'Where jobs are kept. One server keeps them in its data folder; several share a PostgreSQL database.',
  fields: {
    url: given(
      orNull(
        text({
          pattern:
            /^postgres(ql)?:\/\/([^\s/?#@]*@)?(\[[\da-f:]+\]|[^\s/?#@:[\]]*)(:([1-5]?\d{1,4}|6[0-4]\d{3}|65[0-4]\d\d))?(\/[^\s#]*)?$/i,
          allowed: 'the address of a PostgreSQL database, `postgres://user:password@host:5432/name`',
        }),
      ),
      null,
      'Address of a PostgreSQL database (15 or newer) that nodes share; null keeps jobs in a file of the data folder.',
      { commonEnv: 'DATABASE_URL', secret: true },
    ),
    poolSize: given(integer({ min: 2, max: 100 }), 8, 'Connections to the database, for all but events.'),
    leaseMs: given(
      integer({ min: 1000, max: 600_000 }),
      15_000,
      'Milliseconds a node may be silent before the jobs it runs go on elsewhere; it renews three times in that time.',
    ),
  },
}) {}
