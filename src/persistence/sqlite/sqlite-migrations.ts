import { jobs } from '../migrations/0001-jobs.js';
import { jobCount } from '../migrations/0002-job-count.sqlite.js';
import { recovery } from '../migrations/0003-recovery.js';
import { access } from '../migrations/0004-access.js';
import { traces } from '../migrations/0005-traces.js';
import type { Migration } from '../migrations/migration.js';

export const SQLITE_MIGRATIONS: readonly Migration[] = [
  jobs,
  jobCount,
  recovery(`json_extract(request, '$.width') * json_extract(request, '$.height')`),
  access,
  traces,
];
