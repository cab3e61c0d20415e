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

/** How a model is called on a ComfyUI server: names of files as its own lists have them. */
export interface ComfyUiModel {
  /** All of it in one file; null: `unet`, `clip` and `vae` are its parts. */
  readonly checkpoint: string | null;
  readonly unet: string | null;
  /** Two text encoders, CLIP first; empty: those of the checkpoint. */
  readonly clip: readonly string[];
  /** Null: that of the checkpoint. */
  readonly vae: string | null;
  /** Precision `unet` is loaded in, in the words of ComfyUI. */
  readonly weightDtype: string;
  /** Flux: the noise schedule is shifted with the size of the picture. */
  readonly timeShift: boolean;
}

/** A model the server was told to serve, as far as its files tell without loading them. */
export interface ModelDescription {
  readonly id: string;
  /** Other names that requests may use for it; no model has one of them as its id. */
  readonly aliases: readonly string[];
  /**
   * Absolute path of a folder in the diffusers layout or of a single `.safetensors` file, or the id of a hub repository that
   * lies in the local cache, `owner/name`, with an optional `@revision`. Empty where workers do not serve it.
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
  /** Whether workers serve it: its files are here. */
  readonly isLocal: boolean;
  /** Null: ComfyUI does not serve it. */
  readonly comfyui: ComfyUiModel | null;
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
  aliases: [],
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
  isLocal: true,
  comfyui: null,
} as const satisfies Partial<ModelDescription>;
