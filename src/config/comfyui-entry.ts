import type { Complaint, Kind } from './kinds.js';
import { accept, choice, flag, integer, refuse, text } from './kinds.js';
import { listOf, recordField, recordOf } from './record-kind.js';

/** Precisions that ComfyUI's loader of diffusion models offers; `default`: that of the file. */
const COMFYUI_WEIGHT_DTYPES = ['default', 'fp8_e4m3fn', 'fp8_e4m3fn_fast', 'fp8_e5m2'] as const;

/** What a request gets that does not say; null: what the family has. */
export interface ComfyUiDefaults {
  readonly width: number | null;
  readonly height: number | null;
  readonly numInferenceSteps: number | null;
  readonly guidanceScale: number | null;
  /** diffusers class name. */
  readonly scheduler: string | null;
}

/** How a model is called on the ComfyUI server: names of files as its own lists have them. */
export interface ComfyUiEntry {
  /** All of the model in one file; null: it is in parts, and `unet`, `clip` and `vae` are there. */
  readonly checkpoint: string | null;
  readonly unet: string | null;
  /** Two text encoders, CLIP first; empty: those of the checkpoint. */
  readonly clip: readonly string[];
  /** Null: that of the checkpoint. */
  readonly vae: string | null;
  readonly weightDtype: (typeof COMFYUI_WEIGHT_DTYPES)[number];
  /** Flux: the noise schedule is shifted with the size of the picture. */
  readonly timeShift: boolean;
  readonly defaults: ComfyUiDefaults;
}

const file = text({
  pattern: /^[^\p{Cc}]{1,255}$/u,
  allowed: 'the name of a file as ComfyUI lists it, such as sdxl/base.safetensors',
});
const schedulerName = text({ pattern: /^[A-Z][A-Za-z0-9]{0,63}$/, allowed: 'a class name of diffusers' });

const guidance: Kind<number> = {
  allowed: 'a number from 0 to 30',
  fromText: Number,
  read: (value) =>
    typeof value === 'number' && value >= 0 && value <= 30 ? accept(value) : refuse(value, 'a number from 0 to 30'),
};

const NO_DEFAULTS: ComfyUiDefaults = {
  width: null,
  height: null,
  numInferenceSteps: null,
  guidanceScale: null,
  scheduler: null,
};

const defaults = recordOf<ComfyUiDefaults>(
  {
    width: recordField(integer({ min: 64, max: 2048 }), 'Pixels.', null),
    height: recordField(integer({ min: 64, max: 2048 }), 'Pixels.', null),
    num_inference_steps: recordField(integer({ min: 1, max: 150 }), 'Steps.', null),
    guidance_scale: recordField(guidance, 'Guidance.', null),
    scheduler: recordField(schedulerName, 'Noise scheduler.', null),
  },
  'a map with width, height, num_inference_steps, guidance_scale and scheduler, all optional',
);

const ALLOWED = 'a map with checkpoint, or with unet, clip and vae';

const fields = recordOf<ComfyUiEntry>(
  {
    checkpoint: recordField(file, 'All of the model in one file.', null),
    unet: recordField(file, 'The denoiser, where the model is in parts.', null),
    clip: recordField(listOf(file, 'a list of two text encoders'), 'Text encoders, CLIP first.', []),
    vae: recordField(file, 'The VAE.', null),
    weight_dtype: recordField(choice(COMFYUI_WEIGHT_DTYPES), 'Precision `unet` is loaded in.', 'default'),
    time_shift: recordField(flag(), 'Flux: shift the noise schedule with the size of the picture.', true),
    defaults: recordField(defaults, 'What a request gets that does not say.', NO_DEFAULTS),
  },
  ALLOWED,
);

/** One file, or all the parts. */
export const comfyUiEntry: Kind<ComfyUiEntry> = {
  ...fields,
  read: (value, baseDir) => {
    const reading = fields.read(value, baseDir);
    if (!reading.ok) return reading;
    const complaints = disagreements(reading.value);
    return complaints.length === 0 ? reading : { ok: false, complaints };
  },
};

function disagreements({ checkpoint, unet, clip, vae }: ComfyUiEntry): Complaint[] {
  const complain = (key: string, value: unknown, allowed: string) => [{ at: [key], value, allowed }];
  if (clip.length !== 0 && clip.length !== 2) return complain('clip', clip, 'a list of two text encoders, CLIP first');
  if (checkpoint !== null)
    return unet === null && clip.length === 0 ? [] : complain('checkpoint', checkpoint, 'either checkpoint or parts');
  if (unet === null) return [{ at: [], value: null, allowed: `${ALLOWED}; checkpoint is missing` }];
  if (clip.length === 0) return complain('unet', unet, 'a denoiser together with clip, its two text encoders');
  return vae === null ? complain('unet', unet, 'a denoiser together with its vae') : [];
}
