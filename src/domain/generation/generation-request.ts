import type { MaxDegradation } from '../degradation/degradation.js';
import type { Priority } from '../job/priority.js';
import type { ImageRef } from './image-ref.js';

/** One file a picture, or a frame of a video. */
export const PICTURE_FORMATS = ['png', 'webp', 'jpeg'] as const;
/** `mp4`: all frames of a video in one file. */
export const OUTPUT_FORMATS = [...PICTURE_FORMATS, 'mp4'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** What becomes of the picture where its mask is transparent: `kept` as where it is black, or `painted` anew. */
export const MASK_TRANSPARENCIES = ['kept', 'painted'] as const;
export type MaskTransparency = (typeof MASK_TRANSPARENCIES)[number];

export type SchedulerOptionValue = boolean | number | string;
export type SchedulerOptions = Readonly<Record<string, SchedulerOptionValue>>;

/** A ControlNet and the picture it follows. */
export interface ControlRequest {
  /** Id among the model's ControlNets. */
  readonly id: string;
  readonly image: ImageRef;
  /** Weight of its residuals. */
  readonly scale: number;
  /** Shares of the steps at which it begins and ends. */
  readonly start: number;
  readonly end: number;
}

/** A LoRA and how much of it; below zero it is taken away. */
export interface LoraRequest {
  /** Id among the model's LoRAs. */
  readonly id: string;
  readonly weight: number;
}

/** An IP-Adapter and the picture whose likeness it takes. */
export interface IpAdapterRequest {
  /** Id among the model's IP-Adapters. */
  readonly id: string;
  readonly image: ImageRef;
  readonly scale: number;
}

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
  /** Classifier-free guidance of models distilled on guidance. Absent: none. */
  readonly true_cfg_scale?: number;
  /** Frames of a video. Absent: the pipeline's own number, or a picture. */
  readonly num_frames?: number;
  /** Picture to start from. Absent: pure noise. */
  readonly init_image?: ImageRef;
  /** White is painted anew. Absent: all of it. */
  readonly mask_image?: ImageRef;
  /** Absent: `kept`. */
  readonly mask_transparency?: MaskTransparency;
  /** Share of the noise added to `init_image`; there whenever that is. */
  readonly strength?: number;
  /** Not empty. */
  readonly controls?: readonly ControlRequest[];
  /** Not empty; in this order. */
  readonly loras?: readonly LoraRequest[];
  readonly ip_adapter?: IpAdapterRequest;
  readonly priority: Priority;
  readonly output_format: OutputFormat;
  /** 1 to 100, of formats that lose something. Absent: the worker's own. */
  readonly output_quality?: number;
  /** Same bits alone, in a crowd and after a crash. */
  readonly exact: boolean;
  readonly max_degradation: MaxDegradation;
  /** Epoch milliseconds; a job that has not begun by then expires. */
  readonly start_by: number | null;
  /** Epoch milliseconds; a job that has not ended by then expires. */
  readonly finish_by: number | null;
  readonly time_budget_ms: number | null;
  /** Told when the job is final; null: nobody. An `http` or `https` address. */
  readonly webhook: string | null;
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
