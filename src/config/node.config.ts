import { configArea } from './config-area.js';
import { text } from './kinds.js';
import { derived } from './setting.js';

export class NodeConfig extends configArea({
  section: null,
  title: 'Node',
  about: 'Who this server is among others.',
  fields: {
    name: derived(
      text({ pattern: /^[A-Za-z0-9._-]{1,253}$/, allowed: '1 to 253 letters, digits, dots, dashes and underscores' }),
      { text: 'the host name', of: ({ hostName }) => hostName },
      'Name of this server in `GET /v1/workers`, in logs and in metrics.',
      { key: 'node_name' },
    ),
  },
}) {}
