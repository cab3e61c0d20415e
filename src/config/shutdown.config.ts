import { configArea } from './config-area.js';
import { integer } from './kinds.js';
import { given } from './setting.js';

export class ShutdownConfig extends configArea({
  section: 'shutdown',
  title: 'Shutdown',
  about: 'How the server stops.',
  fields: {
    drainMs: given(
      integer({ min: 0, max: 3_600_000 }),
      60_000,
      'Milliseconds that running jobs get to finish when the server is asked to stop, or a worker or the node is drained. What is not done by then is suspended and goes on later, or elsewhere, from the step it reached.',
    ),
  },
}) {}
