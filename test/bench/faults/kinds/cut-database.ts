import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import type { Fault } from '../fault.js';

export const cutDatabase: Fault = {
  name: 'cut_database',
  impossible: ({ database }) => (database === null ? 'the embedded database is part of the node' : null),
  async throwAt({ database, options }) {
    if (database === null) return null;
    if (options.restartDatabase !== null) {
      await promisify(execFile)('sh', ['-c', options.restartDatabase], { timeout: 60_000 });
      return { node: null, what: 'restart of the database' };
    }
    await database.disconnectAll();
    return { node: null, what: 'all connections to the database cut' };
  },
};
