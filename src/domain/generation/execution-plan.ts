import type { GenerationRequest, OutputFormat, SchedulerOptions } from './generation-request.js';
import { seedsOf } from './generation-request.js';
import type { ModelDescription } from './model-description.js';
import { priorityRank } from '../job/priority.js';

/** One attempt with everything decided; what a worker must not guess. */
export interface ExecutionPlan {
  /** `<job id>/<attempt number>`. */
  readonly attemptId: string;
  readonly priorityRank: number;
  readonly model: Pick<ModelDescription, 'id' | 'source' | 'dtype' | 'variant'>;
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly numInferenceSteps: number;
  readonly guidanceScale: number;
  /** One image each, decimal. */
  readonly seeds: readonly string[];
  readonly width: number;
  readonly height: number;
  readonly scheduler: string;
  readonly schedulerOptions: SchedulerOptions;
  readonly outputFormat: OutputFormat;
  /** Absolute path. */
  readonly stagingDir: string;
  /** Text written into the picture files. */
  readonly fileMetadata: Readonly<Record<string, string>>;
  /** Each image in forwards of its own. */
  readonly solo: boolean;
  /** Milliseconds between preview frames; 0: none. */
  readonly previewIntervalMs: number;
}

/** The plan of a request as asked for, on no rung of the ladder. */
export function planFor(
  job: { readonly id: string; readonly request: GenerationRequest },
  attempt: number,
  model: ModelDescription,
  placement: { readonly stagingDir: string; readonly previewIntervalMs: number },
): ExecutionPlan {
  const { request } = job;
  return {
    attemptId: `${job.id}/${attempt}`,
    priorityRank: priorityRank(request.priority),
    model: { id: model.id, source: model.source, dtype: model.dtype, variant: model.variant },
    prompt: request.prompt,
    negativePrompt: request.negative_prompt,
    numInferenceSteps: request.num_inference_steps,
    guidanceScale: request.guidance_scale,
    seeds: seedsOf(request),
    width: request.width,
    height: request.height,
    scheduler: request.scheduler,
    schedulerOptions: request.scheduler_options,
    outputFormat: request.output_format,
    stagingDir: placement.stagingDir,
    fileMetadata: { prompt: request.prompt, job: job.id },
    solo: request.exact,
    previewIntervalMs: placement.previewIntervalMs,
  };
}
