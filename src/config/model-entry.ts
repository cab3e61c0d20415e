import type { ComfyUiEntry } from './comfyui-entry.js';

/** Architecture groups. The domain has the same list; a test compares the two, because this folder imports nothing. */
export const MODEL_FAMILIES = ['sd15', 'sdxl', 'sd3', 'flux', 'other'] as const;
export const MODEL_DTYPES = ['float32', 'float16', 'bfloat16'] as const;
export const QUANTIZATION_BACKENDS = ['bitsandbytes_4bit', 'bitsandbytes_8bit', 'torchao', 'gguf', 'quanto'] as const;
export const RESIDENCIES = ['resident', 'phase', 'group_offload'] as const;
export const TILINGS = ['off', 'tiled', 'aggressive'] as const;

export interface AddOnEntry {
  readonly id: string;
  /** Absolute path. */
  readonly source: string;
}

export interface QuantizationEntry {
  readonly backend: (typeof QUANTIZATION_BACKENDS)[number];
  readonly options: Readonly<Record<string, boolean | number | string>>;
  readonly components: readonly string[];
}

/** What is null, or not named, the server decides. */
export interface MemoryEntry {
  readonly residency: Readonly<Record<string, (typeof RESIDENCIES)[number]>>;
  readonly vaeSlicing: boolean | null;
  readonly vaeTiling: (typeof TILINGS)[number] | null;
  readonly attentionSlicing: boolean | null;
}

/** A model to serve. */
export interface ModelEntry {
  readonly id: string;
  /** Other names that requests may use for it. */
  readonly aliases: readonly string[];
  /** Absolute path of a folder or a single file, or the id of a hub repository; null: ComfyUI alone has it. */
  readonly source: string | null;
  /** Absolute path of the folder that describes a single file. */
  readonly config: string | null;
  /** Null: told by the folder. */
  readonly family: (typeof MODEL_FAMILIES)[number] | null;
  /** Null: the worker's default for its device. */
  readonly dtype: (typeof MODEL_DTYPES)[number] | null;
  /** Infix of the weight files, such as `fp16`; null: none. */
  readonly variant: string | null;
  readonly quantization: QuantizationEntry | null;
  readonly compile: boolean;
  readonly channelsLast: boolean;
  readonly fuseProjections: boolean;
  readonly loras: readonly AddOnEntry[];
  readonly controlnets: readonly AddOnEntry[];
  readonly ipAdapters: readonly AddOnEntry[];
  readonly pinned: boolean;
  /** Null: until its memory is wanted. */
  readonly keepAliveMs: number | null;
  readonly memory: MemoryEntry | null;
  /** How it is called on the ComfyUI server; null: it is not there. */
  readonly comfyui: ComfyUiEntry | null;
  readonly default: boolean;
}
