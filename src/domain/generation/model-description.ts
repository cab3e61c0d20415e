import type { GenerationDefaults, GenerationLimits, PipelineFamily } from './pipeline-family.js';

/** Weights in fewer bits: a backend of diffusers, what its config takes, and what it is applied to. */
export interface ModelQuantization {
  readonly backend: 'bitsandbytes_4bit' | 'bitsandbytes_8bit' | 'torchao' | 'gguf' | 'quanto';
  readonly options: Readonly<Record<string, boolean | number | string>>;
  /** Names of components, such as `transformer`; empty: the denoiser. */
  readonly components: readonly string[];
}

/** Weights beside a model that requests name by id: a LoRA, a ControlNet, an IP-Adapter. */
export interface ModelAddOn {
  readonly id: string;
  /** Absolute path of a safetensors file, or of a folder in the diffusers layout. */
  readonly source: string;
}

/** What the settings decide about a model's memory. What they leave out (null, a component not named) is the server's. */
export interface ModelMemory {
  readonly residency: Readonly<Record<string, 'resident' | 'phase' | 'group_offload'>>;
  readonly vaeSlicing: boolean | null;
  readonly vaeTiling: 'off' | 'tiled' | 'aggressive' | null;
  readonly attentionSlicing: boolean | null;
}

/** A model the server was told to serve, as far as its files tell without loading them. */
export interface ModelDescription {
  readonly id: string;
  /**
   * Absolute path of a folder in the diffusers layout or of a single `.safetensors` file, or the id of a hub repository that
   * lies in the local cache, `owner/name`, with an optional `@revision`.
   */
  readonly source: string;
  /** Absolute path of the folder that describes a single file; null for the other kinds of source. */
  readonly config: string | null;
  readonly pipelineClass: string;
  /** Components with weights by their names in the pipeline, with the bytes of their files; null: the files do not tell. */
  readonly components: Readonly<Record<string, number | null>>;
  readonly family: PipelineFamily;
  /** Null: the worker's default for its device. */
  readonly dtype: 'float32' | 'float16' | 'bfloat16' | null;
  readonly variant: string | null;
  readonly quantization: ModelQuantization | null;
  readonly compile: boolean;
  readonly channelsLast: boolean;
  readonly fuseProjections: boolean;
  readonly loras: readonly ModelAddOn[];
  readonly controlnets: readonly ModelAddOn[];
  readonly ipAdapters: readonly ModelAddOn[];
  /** Stays loaded whatever else wants its memory. */
  readonly pinned: boolean;
  /** Milliseconds it stays loaded after its last request; null: until its memory is wanted. */
  readonly keepAliveMs: number | null;
  readonly memory: ModelMemory;
  readonly isDefault: boolean;
  readonly limits: GenerationLimits;
  readonly defaults: GenerationDefaults;
  /** Noise schedulers a request may name, by class name. */
  readonly schedulers: readonly string[];
  /**
   * What it can do: `text_to_image`, `image_to_image`, `inpaint`, `text_to_video`, `image_to_video`; with what lies beside it
   * `controlnet`, `lora`, `ip_adapter`.
   */
  readonly capabilities: readonly string[];
}

/** How a model is served of which the settings say nothing but where it lies. */
export const PLAIN_SERVING = {
  config: null,
  quantization: null,
  compile: false,
  channelsLast: false,
  fuseProjections: false,
  loras: [],
  controlnets: [],
  ipAdapters: [],
  pinned: false,
  keepAliveMs: null,
  memory: { residency: {}, vaeSlicing: null, vaeTiling: null, attentionSlicing: null },
} as const satisfies Partial<ModelDescription>;
