import type { MaxDegradation } from '../../domain/degradation/degradation.js';
import type {
  MaskTransparency,
  OutputFormat,
  SchedulerOptionValue,
} from '../../domain/generation/generation-request.js';
import type { Priority } from '../../domain/job/priority.js';
import type { Picture, PictureUrl } from './picture.js';

/** What a client asked for, with the right types and nothing filled in. Every dialect is translated into this. */
export interface GenerationInput {
  readonly model?: string;
  readonly prompt: string;
  readonly negative_prompt?: string;
  readonly width?: number;
  readonly height?: number;
  readonly num_inference_steps?: number;
  readonly guidance_scale?: number;
  readonly num_images?: number;
  /** Decimal digits: a JSON number cannot hold all seeds. */
  readonly seed?: string;
  /** diffusers class name, or AUTOMATIC1111's name for one. */
  readonly scheduler?: string;
  readonly scheduler_options?: Readonly<Record<string, SchedulerOptionValue>>;
  readonly true_cfg_scale?: number;
  readonly num_frames?: number;
  /** An address is fetched as the request is submitted. */
  readonly init_image?: Picture | PictureUrl;
  readonly mask_image?: Picture | PictureUrl;
  readonly mask_transparency?: MaskTransparency;
  readonly strength?: number;
  readonly controls?: readonly ControlInput[];
  readonly loras?: readonly LoraInput[];
  readonly ip_adapter?: IpAdapterInput;
  readonly priority?: Priority;
  readonly output_format?: OutputFormat;
  readonly output_quality?: number;
  readonly exact?: boolean;
  readonly max_degradation?: MaxDegradation;
  /** Epoch milliseconds. */
  readonly start_by?: number;
  /** Epoch milliseconds. */
  readonly finish_by?: number;
  /** Milliseconds from submission, as another way to say `finish_by`; the earlier of the two counts. */
  readonly finish_within_ms?: number;
  readonly time_budget_ms?: number;
  readonly webhook?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface ControlInput {
  readonly id: string;
  readonly image: Picture | PictureUrl;
  readonly scale?: number;
  readonly start?: number;
  readonly end?: number;
}

export interface LoraInput {
  readonly id: string;
  readonly weight?: number;
}

export interface IpAdapterInput {
  readonly id: string;
  readonly image: Picture | PictureUrl;
  readonly scale?: number;
}

/** One field that cannot be accepted: which, why, what was given, and what would be accepted. */
export interface FieldProblem {
  readonly field: string;
  readonly message: string;
  readonly value: unknown;
  readonly limit: unknown;
}
