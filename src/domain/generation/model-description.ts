import type { GenerationDefaults, GenerationLimits, PipelineFamily } from './pipeline-family.js';

/** A model the server was told to serve, as far as its folder tells without loading it. */
export interface ModelDescription {
  readonly id: string;
  /** Absolute path of a folder in the diffusers layout. */
  readonly source: string;
  readonly pipelineClass: string;
  readonly family: PipelineFamily;
  /** Null: the worker's default for its device. */
  readonly dtype: 'float32' | 'float16' | 'bfloat16' | null;
  readonly variant: string | null;
  readonly isDefault: boolean;
  readonly limits: GenerationLimits;
  readonly defaults: GenerationDefaults;
  /** Noise schedulers a request may name, by class name. */
  readonly schedulers: readonly string[];
  readonly capabilities: readonly string[];
}
