import { z } from 'zod';

import { NODE_STATES } from '../../../domain/placement/node-description.js';

export const NodeSchema = z.object({
  id: z.string().describe('New at every start.'),
  name: z.string(),
  state: z.enum(NODE_STATES).describe('draining: it takes no new work; drained: and has none left.'),
  running: z.int().describe('Attempts in flight.'),
  shared: z.boolean().describe('Whether other nodes work on the same jobs.'),
});

export type NodeView = z.input<typeof NodeSchema>;
