import type { GenerationRequest } from '../../../domain/generation/generation-request.js';
import type { Effective } from '../../../domain/job/job.js';
import { VERSION } from '../../../telemetry/version.js';
import { hashOf } from '../model-names.js';
import { loraTag } from '../prompt-tags.js';
import { namesOf } from '../samplers.js';

/** Weights of words, which AUTOMATIC1111 reads out of a prompt and our text encoders do not. */
const EMPHASIS = /(?<!\\)[([]/;

/** The prompt as a client of this dialect writes it: with a tag for each LoRA. */
export function taggedPrompt({ prompt, loras = [] }: GenerationRequest): string {
  return [prompt, ...loras.map(loraTag)].join(' ').trim();
}

/**
 * What made a picture, in the one form every tool of that world reads (modules/processing.py, create_infotext). Sent back as
 * fields it gives the same picture.
 *
 * @param seed of this picture, decimal
 * @param effective what was run; null: not known
 */
export function writeInfotext(request: GenerationRequest, effective: Effective | null, seed: string): string {
  const { sampler, schedule } = namesOf(request);
  const prompt = taggedPrompt(request);
  const parameters: readonly (readonly [string, string | number | null])[] = [
    ['Steps', request.num_inference_steps],
    ['Sampler', sampler],
    ['Schedule type', schedule],
    ['CFG scale', request.guidance_scale],
    ['Seed', seed],
    ['Size', `${request.width}x${request.height}`],
    ['Model hash', hashOf(effective)],
    ['Model', request.model],
    ['Denoising strength', request.strength ?? null],
    ...(request.controls ?? []).map(
      ({ id, scale, start, end }, index) =>
        [
          `ControlNet ${index}`,
          `Module: none, Model: ${id}, Weight: ${scale}, Guidance Start: ${start}, Guidance End: ${end}`,
        ] as const,
    ),
    // The words are read as they stand, brackets and all; told where it makes a difference.
    ['Emphasis', EMPHASIS.test(request.prompt + request.negative_prompt) ? 'None' : null],
    ['Version', `Safelight ${VERSION}`],
  ];
  const told = parameters.flatMap(([name, value]) => (value === null ? [] : [`${name}: ${quoted(String(value))}`]));
  const negative = request.negative_prompt === '' ? '' : `\nNegative prompt: ${request.negative_prompt}`;
  return `${prompt}${negative}\n${told.join(', ')}`.trim();
}

function quoted(value: string): string {
  return /[,\n:]/.test(value) ? JSON.stringify(value) : value;
}
