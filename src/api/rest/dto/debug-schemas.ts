import { z } from 'zod';

import { DegradationSchema, FailureSchema, JobSchema } from './job-schemas.js';
import { ATTEMPT_OUTCOMES } from '../../../domain/job/job.js';
import { MemorySchema } from './worker-schemas.js';

const FailureDetailSchema = FailureSchema.extend({
  detail: z.string().nullable().describe('Traceback, or how the process ended.'),
  requested_bytes: z.number().nullable().describe('What was asked for when memory ran out.'),
  free_bytes: z.number().nullable(),
});

const DebugAttemptSchema = z.object({
  number: z.int(),
  node: z.string().nullable(),
  worker: z.string().nullable(),
  device: z.string().nullable(),
  outcome: z.enum(ATTEMPT_OUTCOMES),
  failure: FailureDetailSchema.nullable(),
  memory: MemorySchema.nullable().describe('Of the device when the attempt ended.'),
  peak_memory_bytes: z.number().nullable(),
  degradations: z.array(DegradationSchema),
  resumed_from_step: z.int().nullable(),
  versions: z
    .record(z.string(), z.string())
    .nullable()
    .describe('Of everything in its worker that shapes a picture, as it runs now; null: it is gone.'),
});

export const DebugSchema = z.object({
  object: z.literal('debug_record'),
  version: z.string().describe('Of Safelight.'),
  job: JobSchema,
  attempts: z.array(DebugAttemptSchema),
  next_attempt: z
    .object({
      alone: z.boolean().describe('It gets a device to itself: the job was there when workers died.'),
      avoids: z.array(z.string()).describe('Workers that could not run the job, as node/worker.'),
      checkpoint: z
        .object({ step: z.int(), bytes: z.number(), attempt: z.int().describe('The one that left it.') })
        .nullable()
        .describe('Where it would go on; null: at the beginning.'),
    })
    .describe('How the job would be run again.'),
});

export type DebugView = z.input<typeof DebugSchema>;
