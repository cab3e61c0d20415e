import { priorityRank } from '../job/priority.js';
import type { GenerationRequest, OutputFormat, SchedulerOptions } from './generation-request.js';
import { seedsOf } from './generation-request.js';
import type { ImageRef } from './image-ref.js';
import type { ModelAddOn, ModelDescription, ModelMemory } from './model-description.js';

/** Which weights, in which form. */
export type PlannedModel = Pick<
  ModelDescription,
  'id' | 'source' | 'config' | 'dtype' | 'variant' | 'quantization' | 'compile' | 'channelsLast' | 'fuseProjections'
>;

/** A ControlNet with the picture it follows; both absolute paths. */
export interface PlannedControl {
  readonly id: string;
  readonly source: string;
  readonly image: string;
  readonly scale: number;
  readonly start: number;
  readonly end: number;
}

/** An IP-Adapter with the picture whose likeness it takes; both absolute paths. */
export type PlannedIpAdapter = Omit<PlannedControl, 'start' | 'end'>;

/** Pictures an attempt starts from, by absolute path. */
export interface PlannedInputs {
  readonly initImage: string | null;
  readonly maskImage: string | null;
  /** The mask's transparency tells what is painted anew, as OpenAI has it; else what is transparent counts as black. */
  readonly maskTransparencyPainted: boolean;
  /** Null without `initImage`. */
  readonly strength: number | null;
  readonly controls: readonly PlannedControl[];
  readonly ipAdapter: PlannedIpAdapter | null;
}

export interface PlannedLora {
  readonly id: string;
  /** Absolute path. */
  readonly source: string;
  readonly weight: number;
}

/** One attempt with everything decided; what a worker must not guess. */
export interface ExecutionPlan {
  /** `<job id>/<attempt number>`. */
  readonly attemptId: string;
  readonly priorityRank: number;
  readonly model: PlannedModel;
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly numInferenceSteps: number;
  readonly guidanceScale: number;
  /** Null: none. */
  readonly trueCfgScale: number | null;
  /** One image each, decimal. */
  readonly seeds: readonly string[];
  readonly width: number;
  readonly height: number;
  /** Smaller than asked for: the ladder's last rung was taken. */
  readonly isReduced: boolean;
  /** Null: the pipeline's own number, or a picture. */
  readonly numFrames: number | null;
  readonly scheduler: string;
  readonly schedulerOptions: SchedulerOptions;
  readonly inputs: PlannedInputs;
  readonly loras: readonly PlannedLora[];
  readonly memory: ModelMemory;
  readonly outputFormat: OutputFormat;
  /** 1 to 100; null: the worker's own. */
  readonly outputQuality: number | null;
  /** Absolute path. */
  readonly stagingDir: string;
  /** Text written into the picture files. */
  readonly fileMetadata: Readonly<Record<string, string>>;
  /** Forwards of a fixed number of rows, so that the bits depend on nobody else. */
  readonly exact: boolean;
  /** Forwards of its own: it was there when workers died. */
  readonly solo: boolean;
  /** Most images in one forward, under what the worker measured; null: no bound of ours. */
  readonly maxImages: number | null;
  /** Absolute path of a checkpoint to go on from; null: from the beginning. */
  readonly resumeFrom: string | null;
  /** Milliseconds between preview frames; 0: none. */
  readonly previewIntervalMs: number;
  /** Milliseconds between checkpoints; 0: only when suspended or out of memory. */
  readonly checkpointIntervalMs: number;
}

/** Where an attempt of a job finds and leaves its files, and what it tells on the way. */
export interface AttemptPlacement {
  readonly stagingDir: string;
  readonly solo: boolean;
  readonly resumeFrom: string | null;
  readonly previewIntervalMs: number;
  readonly checkpointIntervalMs: number;
  /** Absolute path of a picture of the job's request. */
  readonly inputPath: (image: ImageRef) => string;
}

/** The plan of a request as asked for, on no rung of the ladder. Weights it names must be there: see {@link missingAddOn}. */
export function planFor(
  job: { readonly id: string; readonly request: GenerationRequest },
  attempt: number,
  model: ModelDescription,
  placement: AttemptPlacement,
): ExecutionPlan {
  const { request } = job;
  return {
    attemptId: `${job.id}/${attempt}`,
    priorityRank: priorityRank(request.priority),
    model: plannedModel(model),
    prompt: request.prompt,
    negativePrompt: request.negative_prompt,
    numInferenceSteps: request.num_inference_steps,
    guidanceScale: request.guidance_scale,
    trueCfgScale: request.true_cfg_scale ?? null,
    seeds: seedsOf(request),
    width: request.width,
    height: request.height,
    isReduced: false,
    numFrames: request.num_frames ?? null,
    scheduler: request.scheduler,
    schedulerOptions: request.scheduler_options,
    inputs: plannedInputs(request, model, placement),
    loras: (request.loras ?? []).map(({ id, weight }) => ({ id, source: sourceOf(id, model.loras), weight })),
    memory: model.memory,
    outputFormat: request.output_format,
    outputQuality: request.output_quality ?? null,
    stagingDir: placement.stagingDir,
    fileMetadata: { prompt: request.prompt, job: job.id },
    exact: request.exact,
    solo: placement.solo,
    maxImages: null,
    resumeFrom: placement.resumeFrom,
    previewIntervalMs: placement.previewIntervalMs,
    checkpointIntervalMs: placement.checkpointIntervalMs,
  };
}

/** What a request needs beside its model and the settings no longer name, for a sentence; null when all of it is there. */
export function missingAddOn(request: GenerationRequest, model: ModelDescription): string | null {
  const lacks = (ids: readonly string[], offered: readonly ModelAddOn[]) =>
    ids.find((id) => !offered.some((addOn) => addOn.id === id));
  const { loras = [], controls = [], ip_adapter } = request;
  const idOf = ({ id }: { id: string }) => id;
  const kinds = [
    ['LoRA', lacks(loras.map(idOf), model.loras)],
    ['ControlNet', lacks(controls.map(idOf), model.controlnets)],
    ['IP-Adapter', lacks(ip_adapter === undefined ? [] : [ip_adapter.id], model.ipAdapters)],
  ] as const;
  const missing = kinds.find(([, id]) => id !== undefined);
  return missing === undefined ? null : `the ${missing[0]} ${missing[1]}`;
}

function plannedModel(model: ModelDescription): PlannedModel {
  const { id, source, config, dtype, variant, quantization, compile, channelsLast, fuseProjections } = model;
  return { id, source, config, dtype, variant, quantization, compile, channelsLast, fuseProjections };
}

function plannedInputs(
  request: GenerationRequest,
  model: ModelDescription,
  { inputPath }: AttemptPlacement,
): PlannedInputs {
  const { init_image, mask_image, mask_transparency, strength, controls = [], ip_adapter } = request;
  return {
    initImage: init_image === undefined ? null : inputPath(init_image),
    maskImage: mask_image === undefined ? null : inputPath(mask_image),
    maskTransparencyPainted: mask_transparency === 'painted',
    strength: strength ?? null,
    controls: controls.map((control) => ({
      ...control,
      source: sourceOf(control.id, model.controlnets),
      image: inputPath(control.image),
    })),
    ipAdapter:
      ip_adapter === undefined
        ? null
        : { ...ip_adapter, source: sourceOf(ip_adapter.id, model.ipAdapters), image: inputPath(ip_adapter.image) },
  };
}

function sourceOf(id: string, offered: readonly ModelAddOn[]): string {
  const found = offered.find((addOn) => addOn.id === id);
  if (found === undefined) throw new RangeError(`no weights are known under ${id}`);
  return found.source;
}
