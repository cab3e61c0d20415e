import { z } from 'zod';

import { PIPELINE_FAMILIES } from '../../../domain/generation/pipeline-family.js';
import { NODE_STATES } from '../../../domain/placement/node-description.js';
import { WORKER_STATES } from '../../../domain/placement/worker-state.js';

const versions = z.record(z.string(), z.string());

const SystemNodeSchema = z.object({
  id: z.string().describe('New at every start.'),
  name: z.string(),
  state: z.enum(NODE_STATES),
  started_at: z.string().meta({ format: 'date-time' }),
  uptime_seconds: z.number(),
  system: z.string().describe('Operating system, its release and the architecture.'),
  processor: z.string(),
  cores: z.int().describe('Those the server may use.'),
  memory_bytes: z.number(),
});

const SystemWorkerSchema = z.object({
  id: z.string(),
  state: z.enum(WORKER_STATES),
  device: z.string().describe('Such as cpu:0 or cuda:1.'),
  device_kind: z.string(),
  device_name: z.string(),
  memory_total_bytes: z.number().nullable(),
  versions: versions.nullable().describe('Of everything in it that shapes a picture; null: it has not told yet.'),
});

const SystemModelSchema = z.object({
  id: z.string(),
  family: z.enum(PIPELINE_FAMILIES),
  pipeline_class: z.string(),
  weights: z
    .array(
      z.object({
        device_kind: z.string(),
        dtype: z.string(),
        bytes: z.number(),
        sha256: z.string().nullable().describe('Over all weight files; null: no worker has told it yet.'),
      }),
    )
    .describe('As a worker last loaded them, by kind of device.'),
});

export const SystemSchema = z.object({
  object: z.literal('system'),
  versions: versions.describe('Of Safelight and of what it runs on.'),
  node: SystemNodeSchema,
  database: z.object({
    kind: z.enum(['sqlite', 'postgresql']).nullable().describe('Null: it cannot be asked now.'),
    version: z.string().nullable(),
    shared: z.boolean().describe('Whether other nodes work on the same jobs.'),
  }),
  workers: z.array(SystemWorkerSchema).describe('Of this node.'),
  models: z.array(SystemModelSchema),
  settings: z
    .record(z.string(), z.unknown())
    .describe('Those in force, in the shape of the file. Secrets are left out, passwords in addresses too.'),
  settings_from: z.object({
    file: z.string().nullable().describe('Null: there is none.'),
    origins: z.array(z.object({ setting: z.string(), from: z.string() })).describe('Of each that is no default.'),
  }),
});

export type SystemView = z.input<typeof SystemSchema>;
