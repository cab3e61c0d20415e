import { configArea } from './config-area.js';
import { text } from './kinds.js';
import { derived } from './setting.js';

export class NodeConfig extends configArea({
  section: null,
  title: 'Node',
  about: 'Who this server is among others.',
  fields: {
    name: derived(
      text({
        pattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/,
        allowed: '1 to 253 letters, digits, dots, dashes and underscores, the first a letter or a digit',
      }),
      { text: 'the host name', of: ({ hostName }) => hostName },
      'Name of this server in `GET /v1/workers`, in logs and in metrics. Nodes that share a database or a store of pictures have different names and keep them over restarts: a node clears up what its former life left under its name.',
      { key: 'node_name' },
    ),
  },
}) {}
