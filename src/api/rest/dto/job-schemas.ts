import { z } from 'zod';

import { FIDELITIES, MAX_DEGRADATIONS } from '../../../domain/degradation/degradation.js';
import { FAILURE_KINDS } from '../../../domain/failure/failure-kind.js';
import { MASK_TRANSPARENCIES, OUTPUT_FORMATS } from '../../../domain/generation/generation-request.js';
import { IMAGE_MEDIA_TYPES } from '../../../domain/generation/image-header.js';
import { ATTEMPT_OUTCOMES } from '../../../domain/job/job.js';
import { JOB_STATES } from '../../../domain/job/job-state.js';
import { PHASES } from '../../../domain/job/phase.js';
import { PRIORITIES } from '../../../domain/job/priority.js';
import { WAITING_REASONS } from '../../../domain/job/waiting-for.js';
import { facts, shownSeed, time } from './view-types.js';

export const FailureSchema = z.object({
  kind: z.enum(FAILURE_KINDS),
  phase: z.enum(PHASES).nullable().describe('Null: no worker had the job.'),
  step: z.int().describe('Denoising steps done before it.'),
  message: z.string(),
  field: z.string().nullable().describe('Field of the request at fault.'),
});

export const ProgressSchema = z.object({
  phase: z.enum(PHASES),
  step: z.int(),
  steps: z.int(),
  fraction: z.number().min(0).max(1).describe('Over all phases; grows within an attempt.'),
  eta_ms: z.number().nullable(),
});

export const DegradationSchema = z.object({
  rung: z.string(),
  fidelity: z.enum(FIDELITIES),
  cause: z.string().describe('Failure kind that led to it.'),
  attempt: z.int(),
  at: time,
});

export const ArtifactSchema = z.object({
  index: z.int(),
  url: z.string(),
  media_type: z.string(),
  width: z.int(),
  height: z.int(),
  bytes: z.int(),
  sha256: z.string(),
  seed: shownSeed,
});

const PhaseTimingSchema = z.object({
  name: z.enum(PHASES),
  started_at: time,
  finished_at: time.nullable(),
  from_step: z.int().nullable(),
  to_step: z.int().nullable(),
  peak_memory_bytes: z.number().nullable(),
});

export const AttemptSchema = z.object({
  number: z.int(),
  node: z.string().nullable().describe('Name of the node that ran it.'),
  worker: z.string().nullable(),
  device: z.string().nullable(),
  started_at: time,
  finished_at: time.nullable(),
  phase: z.enum(PHASES).nullable().describe('Furthest phase reached.'),
  step: z.int(),
  outcome: z.enum(ATTEMPT_OUTCOMES),
  failure: FailureSchema.nullable(),
  degradations: z.array(DegradationSchema),
  resumed_from_step: z.int().nullable(),
  phases: z.array(PhaseTimingSchema),
  peak_memory_bytes: z.number().nullable(),
});

const ImageRefSchema = z.object({
  sha256: z.string().describe('Of the file that was sent.'),
  bytes: z.int(),
  media_type: z.enum(IMAGE_MEDIA_TYPES),
  width: z.int(),
  height: z.int(),
});

const ControlSchema = z.object({
  id: z.string(),
  image: ImageRefSchema,
  scale: z.number(),
  start: z.number(),
  end: z.number(),
});

const LoraSchema = z.object({ id: z.string(), weight: z.number() });

const IpAdapterSchema = z.object({ id: z.string(), image: ImageRefSchema, scale: z.number() });

export const ResolvedRequestSchema = z.object({
  model: z.string(),
  prompt: z.string(),
  negative_prompt: z.string(),
  width: z.int(),
  height: z.int(),
  num_inference_steps: z.int(),
  guidance_scale: z.number(),
  num_images: z.int(),
  seed: shownSeed,
  scheduler: z.string(),
  scheduler_options: z.record(z.string(), z.union([z.boolean(), z.number(), z.string()])),
  true_cfg_scale: z.number().optional(),
  num_frames: z.int().optional(),
  init_image: ImageRefSchema.optional().describe('What became of the picture; its bytes are not sent back.'),
  mask_image: ImageRefSchema.optional(),
  mask_transparency: z.enum(MASK_TRANSPARENCIES).optional(),
  strength: z.number().optional(),
  controls: z.array(ControlSchema).optional(),
  loras: z.array(LoraSchema).optional(),
  ip_adapter: IpAdapterSchema.optional(),
  priority: z.enum(PRIORITIES),
  output_format: z.enum(OUTPUT_FORMATS),
  output_quality: z.int().optional(),
  exact: z.boolean(),
  max_degradation: z.enum(MAX_DEGRADATIONS),
  start_by: time.nullable(),
  finish_by: time.nullable(),
  time_budget_ms: z.int().nullable(),
  webhook: z.string().nullable(),
  metadata: z.record(z.string(), z.string()),
});

export const JobSchema = z.object({
  id: z.string().meta({ format: 'uuid' }),
  object: z.literal('job'),
  state: z.enum(JOB_STATES).describe('succeeded, failed, cancelled and expired are final.'),
  priority: z.enum(PRIORITIES),
  model: z.string(),
  queue_position: z.int().nullable().describe('1 for the next to run; null unless queued.'),
  created_at: time,
  started_at: time.nullable(),
  finished_at: time.nullable(),
  progress: ProgressSchema.nullable(),
  request: ResolvedRequestSchema.describe('As resolved: defaults filled in, the seed drawn.'),
  attempts: z.array(AttemptSchema),
  artifacts: z.array(ArtifactSchema),
  degradations: z.array(DegradationSchema).describe('Rungs of the ladder it stands on, in the order they were taken.'),
  effective: facts.nullable().describe('What was really run; null until it succeeded.'),
  waiting_for: z.enum(WAITING_REASONS).nullable(),
  failure: FailureSchema.nullable(),
  links: z.object({ self: z.string(), events: z.string(), cancel: z.string() }),
});

export const JobListSchema = z.object({
  data: z.array(JobSchema),
  next_cursor: z.string().nullable().describe('Pass it as `cursor` for the next page; null on the last one.'),
});

export const JobBatchSchema = z.object({ data: z.array(JobSchema) });

export type JobView = z.input<typeof JobSchema>;
