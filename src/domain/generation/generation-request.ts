import type { MaxDegradation } from '../degradation/degradation.js';
import type { Priority } from '../job/priority.js';

export const OUTPUT_FORMATS = ['png', 'webp', 'jpeg'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export type SchedulerOptionValue = boolean | number | string;
export type SchedulerOptions = Readonly<Record<string, SchedulerOptionValue>>;

/**
 * What was asked for, resolved: every default filled in, the seed drawn. The generation fields carry the names of
 * diffusers' arguments so that who knows `pipe(...)` knows this. Stored as JSON with the job, in exactly these words.
 */
export interface GenerationRequest {
  readonly model: string;
  readonly prompt: string;
  readonly negative_prompt: string;
  readonly width: number;
  readonly height: number;
  readonly num_inference_steps: number;
  readonly guidance_scale: number;
  readonly num_images: number;
  /** Decimal string of 0 … 2^63-1; image i is made with seed + i. A number in JSON cannot hold it. */
  readonly seed: string;
  /** diffusers class name. */
  readonly scheduler: string;
  readonly scheduler_options: SchedulerOptions;
  readonly priority: Priority;
  readonly output_format: OutputFormat;
  /** Same bits alone, in a crowd and after a crash. */
  readonly exact: boolean;
  readonly max_degradation: MaxDegradation;
  /** Epoch milliseconds; a job that has not begun by then expires. */
  readonly start_by: number | null;
  /** Epoch milliseconds; a job that has not ended by then expires. */
  readonly finish_by: number | null;
  readonly time_budget_ms: number | null;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Largest seed of image 0 for which seed + i stays inside a signed 64-bit integer. */
export function maxSeed(numImages: number): bigint {
  return 2n ** 63n - BigInt(numImages);
}

/** Seeds of all images of a request, as decimal strings. */
export function seedsOf(request: Pick<GenerationRequest, 'seed' | 'num_images'>): string[] {
  const first = BigInt(request.seed);
  return Array.from({ length: request.num_images }, (_, index) => (first + BigInt(index)).toString());
}
