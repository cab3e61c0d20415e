import { seedsOf } from '../../domain/generation/generation-request.js';
import type { Job } from '../../domain/job/job.js';
import { VERSION } from '../../telemetry/version.js';
import { exactInteger } from '../http/json/exact-json.js';
import { isObject } from '../http/read-fields.js';
import { IMAGE_TO_IMAGE_ECHO, TEXT_TO_IMAGE_ECHO } from './dto/echo-defaults.js';
import type { GenerationFields } from './dto/generation-fields.js';
import { taggedPrompt, writeInfotext } from './infotext/write-infotext.js';
import { hashOf } from './model-names.js';
import type { Task } from './read-generation.js';
import { namesOf } from './samplers.js';

/** Fields that hold pictures of the client's own; repeated only when asked for. */
const PICTURE_FIELDS = ['init_images', 'mask', 'alwayson_scripts', 'script_args'];

/** `parameters` of an answer: the request over AUTOMATIC1111's defaults, and what was run where the model decided. */
export function parametersOf(
  task: Task,
  body: Readonly<Record<string, unknown>>,
  { include_init_images: includes }: GenerationFields,
  { request }: Job,
): Record<string, unknown> {
  const defaults = task === 'txt2img' ? TEXT_TO_IMAGE_ECHO : IMAGE_TO_IMAGE_ECHO;
  const hidden = includes === true ? [] : PICTURE_FIELDS;
  const given = Object.entries(body).filter(([name]) => Object.hasOwn(defaults, name) && !hidden.includes(name));
  return {
    ...defaults,
    ...Object.fromEntries(given.map(([name, value]) => [name, jsonOf(value)])),
    steps: request.num_inference_steps,
    cfg_scale: request.guidance_scale,
    width: request.width,
    height: request.height,
    sampler_name: namesOf(request).sampler,
  };
}

/** `info` of an answer, which clients parse: what was made, picture by picture (modules/processing.py, Processed.js). */
export function infoOf(job: Job, fields: GenerationFields): Record<string, unknown> {
  const { request, effective, artifacts } = job;
  const made = seedsOf(request).filter((_seed, index) => artifacts.some((artifact) => artifact.index === index));
  const seeds = made.map(exactInteger);
  const prompt = taggedPrompt(request);
  const { sampler, schedule } = namesOf(request);
  // Drawn there also where nothing is mixed in; here it has no part in the picture.
  const subseed = exactInteger(fields.subseed ?? '-1');
  return {
    prompt,
    all_prompts: made.map(() => prompt),
    negative_prompt: request.negative_prompt,
    all_negative_prompts: made.map(() => request.negative_prompt),
    seed: exactInteger(request.seed),
    all_seeds: seeds,
    subseed,
    all_subseeds: made.map(() => subseed),
    subseed_strength: 0,
    width: request.width,
    height: request.height,
    sampler_name: sampler,
    cfg_scale: request.guidance_scale,
    steps: request.num_inference_steps,
    batch_size: fields.batch_size ?? 1,
    restore_faces: false,
    face_restoration_model: null,
    sd_model_name: request.model,
    sd_model_hash: hashOf(effective),
    sd_vae_name: null,
    sd_vae_hash: null,
    seed_resize_from_w: -1,
    seed_resize_from_h: -1,
    denoising_strength: request.strength ?? null,
    extra_generation_params: schedule === null ? {} : { 'Schedule type': schedule },
    index_of_first_image: 0,
    infotexts: made.map((seed) => writeInfotext(request, effective, seed)),
    styles: [],
    job_timestamp: timestampOf(job.createdAt),
    clip_skip: 1,
    is_using_inpainting_conditioning: false,
    version: `Safelight ${VERSION}`,
  };
}

/** A time as AUTOMATIC1111 writes it, in UTC: `20260131120000`. */
export function timestampOf(at: number): string {
  return new Date(at).toISOString().replaceAll(/\D/g, '').slice(0, 14);
}

/** Integers that a double cannot hold, at any depth, are written digit by digit. */
function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return exactInteger(value.toString());
  if (Array.isArray(value)) return value.map(jsonOf);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, jsonOf(entry)]));
}
