import { z } from 'zod';

import { NODE_STATES } from '../../../domain/placement/node-description.js';
import { WORKER_STATES } from '../../../domain/placement/worker-state.js';

export const MemorySchema = z.object({
  total_bytes: z.number(),
  free_bytes: z.number(),
  allocated_bytes: z.number(),
  reserved_bytes: z.number(),
});

export const WorkerSchema = z.object({
  id: z.string(),
  node: z.string(),
  device: z.string().describe('Such as cpu:0 or cuda:1.'),
  device_name: z.string(),
  state: z.enum(WORKER_STATES),
  pid: z.int().nullable().describe('Null while no process lives.'),
  models: z.array(z.string()).describe('Those on its device.'),
  running: z.int().describe('Attempts in flight.'),
  memory: MemorySchema.nullable(),
  restarts: z.int(),
  reason: z.string().nullable().describe('Why it takes no work; null when it does.'),
  versions: z.record(z.string(), z.string()).nullable().describe('Of everything in it that shapes a picture.'),
});

export const WorkerListSchema = z.object({ data: z.array(WorkerSchema) });

export const ReadinessSchema = z.object({
  ready: z.boolean(),
  node: z.enum(NODE_STATES).describe('Anything but serving: it takes no jobs.'),
  workers: z.array(
    z.object({
      id: z.string(),
      device: z.string(),
      state: z.enum(WORKER_STATES),
      ready: z.boolean(),
      reason: z.string().nullable(),
    }),
  ),
});

export type WorkerView = z.input<typeof WorkerSchema>;
export type ReadinessView = z.input<typeof ReadinessSchema>;
