import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import type { GenerationDefaults, GenerationLimits, PipelineFamily } from '../domain/generation/pipeline-family.js';
import { FAMILY_PROFILES, familyOfClass } from '../domain/generation/pipeline-family.js';
import { schedulersOf } from './own-scheduler.js';
import type { Task } from './tasks.js';
import { tasksOf } from './tasks.js';

type Json = Readonly<Record<string, unknown>>;

/** A folder that cannot be served, and what to do about it. */
export class UnusableModelError extends Error {
  constructor(
    readonly source: string,
    problem: string,
  ) {
    super(`${source}: ${problem}`);
    this.name = 'UnusableModelError';
  }
}

/** What a model's folder tells about it without loading a weight. */
export interface ModelFolder {
  readonly pipelineClass: string;
  readonly family: PipelineFamily;
  readonly tasks: readonly Task[];
  readonly limits: GenerationLimits;
  readonly defaults: GenerationDefaults;
  readonly schedulers: readonly string[];
}

/**
 * `safelight.json`, which any model may have beside `model_index.json`: what it was trained for, where that is narrower
 * than what its family can do. Unknown fields are refused: a typo must not be a silent default.
 */
const Overrides = z.strictObject({
  limits: z
    .strictObject({
      min_width: z.int().positive(),
      max_width: z.int().positive(),
      min_height: z.int().positive(),
      max_height: z.int().positive(),
      size_multiple: z.int().multipleOf(8),
      min_num_inference_steps: z.int().positive(),
      max_num_inference_steps: z.int().positive(),
      min_guidance_scale: z.number().nonnegative(),
      max_guidance_scale: z.number().nonnegative(),
      max_num_images: z.int().positive(),
      max_prompt_chars: z.int().positive(),
    })
    .partial()
    .default({}),
  defaults: z
    .strictObject({
      width: z.int().multipleOf(8),
      height: z.int().multipleOf(8),
      num_inference_steps: z.int().positive(),
      guidance_scale: z.number().nonnegative(),
      scheduler: z.string(),
      scheduler_options: z.record(z.string(), z.union([z.boolean(), z.number(), z.string()])),
    })
    .partial()
    .default({}),
});

/** Reads what a diffusers folder tells. Throws {@link UnusableModelError}. */
export function readModelFolder(source: string, family: PipelineFamily | null): ModelFolder {
  const index = readJson(join(source, 'model_index.json'), source);
  const pipelineClass = index?.['_class_name'];
  if (Array.isArray(pipelineClass))
    throw new UnusableModelError(source, 'asks for code that comes with the weights, which is never run');
  if (typeof pipelineClass !== 'string') {
    throw new UnusableModelError(
      source,
      'is no folder in the diffusers layout: model_index.json with _class_name is missing',
    );
  }
  const resolvedFamily = family ?? familyOfClass(pipelineClass);
  const profile = FAMILY_PROFILES[resolvedFamily];
  const denoiser =
    readJson(join(source, 'unet', 'config.json'), source) ??
    readJson(join(source, 'transformer', 'config.json'), source);
  const vae = readJson(join(source, 'vae', 'config.json'), source);
  const native = nativeSize(denoiser, vae);
  const overrides = Overrides.safeParse(readJson(join(source, 'safelight.json'), source) ?? {});
  if (!overrides.success) throw new UnusableModelError(source, `safelight.json: ${z.prettifyError(overrides.error)}`);
  const { limits, defaults } = overrides.data;
  const own = schedulersOf(resolvedFamily, readJson(join(source, 'scheduler', 'scheduler_config.json'), source));
  return {
    pipelineClass,
    family: resolvedFamily,
    tasks: tasksOf({ pipelineClass, index, denoiser, vae }),
    limits: { ...profile.limits, ...defined(limits) },
    defaults: {
      ...profile.defaults,
      ...own.defaults,
      ...(native === null ? {} : { width: native, height: native }),
      ...defined(defaults),
    },
    schedulers: own.schedulers,
  };
}

/** Side in pixels of the pictures the denoiser was trained on: its latent size times the VAE's factor. Null: not told. */
function nativeSize(denoiser: Json | null, vae: Json | null): number | null {
  const latentSize = denoiser?.['sample_size'];
  const levels = vae?.['block_out_channels'];
  return typeof latentSize === 'number' && Array.isArray(levels) ? latentSize * 2 ** (levels.length - 1) : null;
}

/** What Python writes for numbers that JSON has not: DPM-Solver's config has one. */
const PYTHONS_NUMBERS = /(?<=[:,[]\s*)(-?Infinity|NaN)\b/g;

/** Null when there is no such file. */
function readJson(path: string, source: string): Json | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new UnusableModelError(source, `${path} cannot be read: ${(error as Error).message}`);
  }
  try {
    const value: unknown = JSON.parse(text.replaceAll(PYTHONS_NUMBERS, 'null'));
    if (typeof value === 'object' && value !== null) return value as Json;
  } catch (error) {
    throw new UnusableModelError(source, `${path} is not JSON: ${(error as Error).message}`);
  }
  throw new UnusableModelError(source, `${path} holds no JSON object`);
}

/** The entries that are set: `undefined` must not hide what it is spread over. */
function defined<T extends object>(partial: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(partial).filter(([, value]) => value !== undefined)) as never;
}
