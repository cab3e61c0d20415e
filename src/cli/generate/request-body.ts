import { exactInteger } from '../client/json.js';
import type { LoraArgument } from '../arguments.js';
import type { PictureFormat } from './file-names.js';
import type { PictureFields } from './input-pictures.js';

/** Options of `safelight generate` that describe the picture. */
export interface PictureOptions {
  readonly model?: string;
  readonly negative?: string;
  readonly seed?: string;
  readonly steps?: number;
  readonly size?: { readonly width: number; readonly height: number };
  readonly guidance?: number;
  readonly scheduler?: string;
  readonly images?: number;
  readonly strength?: number;
  readonly lora?: readonly LoraArgument[];
  readonly priority?: string;
}

/** The body of POST /v1/jobs. What was not said is left out: the model's defaults are the server's to know. */
export function requestBody(
  prompt: string,
  options: PictureOptions,
  pictures: PictureFields,
  format: PictureFormat | undefined,
): string {
  return JSON.stringify({
    prompt,
    model: options.model,
    negative_prompt: options.negative,
    width: options.size?.width,
    height: options.size?.height,
    num_inference_steps: options.steps,
    guidance_scale: options.guidance,
    num_images: options.images,
    seed: options.seed === undefined ? undefined : exactInteger(options.seed),
    scheduler: options.scheduler,
    ...pictures,
    strength: options.strength,
    loras: options.lora,
    priority: options.priority,
    output_format: format,
  });
}
