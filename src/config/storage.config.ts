import { join } from 'node:path';

import { configArea } from './config-area.js';
import { path } from './kinds.js';
import { derived } from './setting.js';

export class StorageConfig extends configArea({
  section: null,
  title: 'Folders',
  about: 'Where jobs and pictures are kept. Relative paths count from the folder of the file that names them.',
  fields: {
    dataDir: derived(
      path('a folder that can be written'),
      {
        text: '`$XDG_DATA_HOME/safelight`, else `~/.local/share/safelight`',
        of: ({ env, homeDir }) => join(env['XDG_DATA_HOME'] || join(homeDir, '.local', 'share'), 'safelight'),
      },
      'Folder of the database of jobs, of logs and of `server.json`. One server at a time may use it.',
    ),
    artifactsDir: derived(
      path('a folder that can be written'),
      { text: '`<data_dir>/artifacts`', of: ({ known }) => join(String(known['dataDir']), 'artifacts') },
      'Folder of pictures, the pictures jobs start from and checkpoints. Nodes that share a database share it too (a network mount, say), or a bucket: with `artifacts.s3_bucket` the folder is not used.',
    ),
  },
}) {}
