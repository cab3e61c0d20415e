import type { FieldProblem } from '../../jobs/submit/generation-input.js';

/** A setting that has one value here. */
interface FixedSetting {
  readonly value: unknown;
  /** Values that mean the same. */
  readonly also?: readonly unknown[];
  readonly message: string;
}

/** Settings that would change a picture. */
const FIXED: Readonly<Record<string, FixedSetting>> = {
  CLIP_stop_at_last_layers: { value: 1, also: [0], message: 'no layers of the text encoder are skipped' },
  sd_vae: { value: 'Automatic', also: ['None', '', null], message: 'a model has the VAE it comes with' },
  eta_noise_seed_delta: { value: 0, message: 'seeds are taken as they are' },
  samples_format: { value: 'png', also: ['PNG'], message: 'pictures are answered as PNG' },
  face_restoration: { value: false, message: 'there is no face restorer here' },
  tiling: { value: false, message: 'pictures that tile cannot be made' },
  initial_noise_multiplier: { value: 1, message: 'noise cannot be scaled' },
  s_churn: { value: 0, message: 'noise cannot be churned' },
  s_noise: { value: 1, message: 'noise cannot be scaled' },
  s_min_uncond: { value: 0, message: 'guidance is not skipped at any step' },
};

/** Settings that clients look at and that change no picture. */
const SHOWN: Readonly<Record<string, unknown>> = {
  show_progress_every_n_steps: 1,
  live_previews_enable: true,
  live_previews_image_format: 'jpeg',
  show_progress_grid: true,
  return_grid: false,
  grid_save: false,
  samples_save: true,
  enable_pnginfo: true,
  add_version_to_infotext: true,
  add_model_hash_to_info: true,
  add_model_name_to_info: true,
  sd_checkpoints_limit: 1,
  emphasis: 'None',
};

/** The settings as clients read them and post them back. */
export function shownSettings(model: string): Record<string, unknown> {
  const fixed = Object.fromEntries(Object.entries(FIXED).map(([name, { value }]) => [name, value]));
  return { sd_model_checkpoint: model, sd_checkpoint_hash: '', ...fixed, ...SHOWN };
}

/** What settings ask for that would change pictures and cannot be had. Those that are not known ask for nothing. */
export function settingProblems(settings: Readonly<Record<string, unknown>>, prefix = ''): FieldProblem[] {
  return Object.entries(FIXED).flatMap(([name, { value, also = [], message }]) => {
    const given = Object.hasOwn(settings, name) ? settings[name] : value;
    if (given === value || given === null || also.includes(given)) return [];
    return [{ field: prefix + name, message, value: given, limit: [value, ...also] }];
  });
}
